"""Training speed and memory of Softgraft and PEFT's methods on the same frozen backbone.

    python -m benchmarks.speed.training_speed --contexts 1000 --peft-steps 3 --threads 2
    python -m benchmarks.speed.training_speed --device cuda --backbone Qwen/Qwen3-0.6B

All systems train on the same token ids, batches, dtype and threads, with AdamW and gradient clipping. Softgraft's time
includes filling its prefix store. The memory of each system is measured in a separate process.

Results are written as they come. If you repeat the command with the same settings, it measures only what is missing, so
a long benchmark can be split: `--contexts 200`, then `--contexts 1000 --systems softgraft-kv,peft-prompt-tuning`.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import asdict

from benchmarks.script import make_parser, names_of, positive, positives, results_path
from benchmarks.speed.training.data import DATA, DataSettings
from benchmarks.speed.training.report import SYSTEMS, Report, print_tables


def add_backbone_options(parser: argparse.ArgumentParser) -> None:
    """The options that the speed benchmarks share."""
    add = parser.add_argument
    add("--prompt", type=positive, default=20, help="number of virtual tokens (default: %(default)s)")
    add("--backbone", default="embedded", help="as in domain.yaml (default: %(default)s)")
    add("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    add("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    add("--threads", type=positive, default=os.cpu_count(), help="CPU threads (default: all cores)")
    add("--seed", type=int, default=0)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line."""
    parser = make_parser(__doc__, resumes=True)
    add, data = parser.add_argument, asdict(DataSettings())
    add("--contexts", type=positives, default=[200, 1000, 2000], help="mean tokens per context (default: %(default)s)")
    add("--data", type=names_of(DATA), default=list(DATA), help=f"kinds of data: {', '.join(DATA)} (default: all)")
    add("--systems", type=names_of(SYSTEMS), default=list(SYSTEMS), help=f"{', '.join(SYSTEMS)} (default: all)")
    add("--examples", type=positive, default=data["examples"], help="examples per epoch (default: %(default)s)")
    add("--epochs", type=positive, default=data["epochs"], help="default: %(default)s")
    add("--batch", type=positive, default=data["batch"], help="batch size (default: %(default)s)")
    add("--question", type=positive, default=data["question"], help="tokens per question (default: %(default)s)")
    add("--answer", type=positive, default=data["answer"], help="tokens per answer (default: %(default)s)")
    add("--spread", type=float, default=data["spread"], help="relative deviation of context lengths")
    add("--questions-per-context", type=positive, default=data["questions_per_context"], help="for recurring data")
    add("--passage-uses", type=positive, default=data["passage_uses"], help="minimum uses of a passage in a run")
    add("--repeats", type=positive, default=3, help="runs per system; the median is reported (default: %(default)s)")
    add("--peft-steps", type=positive, help="number of PEFT steps to time and scale to the whole run (default: all)")
    add("--store-memory-mib", type=int, default=64, help="size of Softgraft's store in the memory runs")
    add("--timed-store-memory-mib", type=int, default=1024, help="size of Softgraft's store in the timed runs")
    add("--no-memory", action="store_true", help="skip the memory runs")
    add_backbone_options(parser)
    return parser.parse_args(arguments)


def main() -> None:
    """Measure what is missing, print and write."""
    options = parse()
    import torch

    from benchmarks.speed.training.runs import Benchmark, load_backbone, report_head

    torch.set_num_threads(options.threads)
    backbone = load_backbone(options)
    head = report_head(backbone, options)
    report = Report(results_path(options.out, "training_speed", head["hardware"]), head, fresh=options.fresh)
    Benchmark(backbone, options, report).run()
    print(f"batch {options.batch}, {options.prompt} virtual tokens, {options.epochs} epochs")
    print_tables(report.rows())
    print(f"written to {report.path}")


if __name__ == "__main__":
    main()
