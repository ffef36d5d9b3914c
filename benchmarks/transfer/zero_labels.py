"""A domain with few labels or none: a source graft of other domains, beside text twin, own graft and quote.

    python -m benchmarks.transfer.zero_labels --data DIR
    python -m benchmarks.transfer.zero_labels --domains bank --seeds 0,1,2 --own 240 --continued 60
    python -m benchmarks.transfer.zero_labels --domains covidqa,mtrag,xquad_zh --data DIR
    python -m benchmarks.transfer.zero_labels --domains xquad_zh --sources squad --data DIR

Each domain in turn is held out. One soft prompt is trained on the sources without it, by default the example domains,
with the same settings, and answers the held-out domain's test questions; no label of that domain is used, neither to
train nor to choose. `own N` is trained on N questions of the domain from the text twin, and `source, then N` from that
source, at the rate for sources (`train.source_rate`) or `at full rate`. A soft prompt that loses to its start on dev is
not kept, and its start answers, as for a user. Results are written after each cell; a repeated command measures what is
missing.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import script

EXAMPLES = ("bank", "clinic", "college", "playhouse")
DOMAINS = (*EXAMPLES, "covidqa", "mtrag", "squad", "xquad_zh")
PACKAGES = ("torch", "transformers", "sentence-transformers", "faiss-cpu")


def main() -> None:
    """Measure what is missing and print the table."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    parser = script.make_parser(__doc__, work="transfer", resumes=True)
    parser.add_argument("--data", type=Path, help="folder with the sets that are not example domains")
    parser.add_argument("--domains", type=script.names_of(DOMAINS), default=EXAMPLES, help=f"default: {EXAMPLES}")
    parser.add_argument("--sources", type=script.names_of(DOMAINS), default=EXAMPLES, help="default: the examples")
    parser.add_argument("--seeds", default="0", help="seeds of the trainings, such as 0,1,2 (default: %(default)s)")
    parser.add_argument(
        "--limit", type=script.positive, default=60, help="train questions of each source domain (default: %(default)s)"
    )
    parser.add_argument("--dev", type=script.positive, default=12, help="dev questions of each source domain")
    parser.add_argument("--test", type=script.positive, default=100, help="test questions (default: %(default)s)")
    parser.add_argument("--own", type=script.positives, default=[], help="labels of the own graft, such as 60,240")
    parser.add_argument("--continued", type=script.positives, default=[], help="labels after the source, such as 60")
    parser.add_argument("--full-rate", type=script.positives, default=[], help="the same with `source_rate: 1`")
    parser.add_argument("--report", action="store_true", help="print the results file and measure nothing")
    options = parser.parse_args()
    config = {"limit": options.limit, "dev": options.dev, "test": options.test}
    head = script.results_head(config, PACKAGES)
    out = script.results_path(options.out, "zero_labels", head["hardware"])
    results = script.earlier_or({**head, "cells": {}}, out, fresh=options.fresh)
    from benchmarks.transfer.held_out import HeldOut, print_cells

    for seed in map(int, options.seeds.split(",")):
        for name in options.domains:
            others = tuple(one for one in options.sources if one != name)
            of = "" if tuple(options.sources) == EXAMPLES else f" of {' '.join(others)}"
            held_out = HeldOut(name, others, options.work, options.data or Path(), seed, config, of)
            cells: dict[str, tuple[Callable[[int], dict[str, Any]], int]] = {
                "text twin": (held_out.untrained, 0),
                f"source{of}, seed {seed}": (held_out.source, 0),
            }
            cells |= {f"own {labels}, seed {seed}": (held_out.own, labels) for labels in options.own}
            cells |= {f"source{of}, then {n}, seed {seed}": (held_out.continued, n) for n in options.continued}
            cells |= {
                f"source{of}, then {n} at full rate, seed {seed}": (held_out.continued_at_full_rate, n)
                for n in options.full_rate
            }
            for cell, (measure, labels) in cells.items():
                if options.report or cell in results["cells"].get(name, {}):
                    continue
                measured = script.in_own_process(measure, labels)
                if out.is_file() and not options.fresh:
                    # Another process may have added cells in the meantime.
                    results = script.read_results(out)
                results["cells"].setdefault(name, {})[cell] = measured
                script.write_results(out, results)
                print(name, cell, flush=True)
    print_cells(results["cells"])


if __name__ == "__main__":
    main()
