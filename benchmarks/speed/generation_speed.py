"""Time to first token and tokens per second of Softgraft and of Transformers' `generate` with a PEFT prompt.

    python -m benchmarks.speed.generation_speed --threads 2
    python -m benchmarks.speed.generation_speed --device cuda --backbone Qwen/Qwen3-0.6B

All systems answer the same prompts with the same number of virtual tokens in the same dtype, and decode the same number
of tokens. They take turns, and medians are reported. The last column is the share of the speed that the measured memory
bandwidth allows for reading weights and cache.
"""

from __future__ import annotations

from benchmarks.script import make_parser, names_of, positive, positives
from benchmarks.speed.generation.report import SYSTEMS, print_cells
from benchmarks.speed.training_speed import add_backbone_options


def main() -> None:
    """Measure, print and write."""
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--contexts", type=positives, default=[200, 1000, 2000], help="mean tokens of evidence (default: %(default)s)")
    add("--batches", type=positives, default=[1, 16], help="batch sizes (default: %(default)s)")
    add("--systems", type=names_of(SYSTEMS), default=list(SYSTEMS), help=f"{', '.join(SYSTEMS)} (default: all)")
    add("--tokens", type=positive, default=32, help="tokens per reply, at least 2 (default: %(default)s)")
    add("--repeats", type=positive, default=5, help="runs per system; the median is reported (default: %(default)s)")
    add_backbone_options(parser)
    options = parser.parse_args()
    if options.tokens < 2:
        parser.error("--tokens: at least 2, because the first token is timed separately")
    from benchmarks.speed.generation.measure import run

    print_cells(run(options))


if __name__ == "__main__":
    main()
