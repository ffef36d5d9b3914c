"""A domain without labels: a source graft made from the other example domains, beside text twin, own graft and quote.

    python -m benchmarks.transfer.zero_labels
    python -m benchmarks.transfer.zero_labels --domains bank,college --seeds 0,1,2 --own 240

Each example domain in turn is held out. One soft prompt is trained on the others, with the same settings, and answers
the held-out domain's test questions; no label of that domain is used, neither to train nor to choose. `own` is trained
on the domain's own questions. Results are written after each cell; a repeated command measures what is missing.
"""

from __future__ import annotations

import os
from typing import Any

from benchmarks import script

DOMAINS = ("bank", "clinic", "college", "playhouse")
PACKAGES = ("torch", "transformers", "sentence-transformers", "faiss-cpu")


def main() -> None:
    """Measure what is missing and print the table."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    parser = script.make_parser(__doc__, work="transfer", resumes=True)
    parser.add_argument("--domains", type=script.names_of(DOMAINS), default=DOMAINS, help="held out (default: all)")
    parser.add_argument("--seeds", default="0", help="seeds of the trainings, such as 0,1,2 (default: %(default)s)")
    parser.add_argument(
        "--limit", type=script.positive, default=240, help="train questions of each source domain (default: all)"
    )
    parser.add_argument("--dev", type=script.positive, default=20, help="dev questions of each source domain")
    parser.add_argument("--test", type=script.positive, default=140, help="test questions (default: all)")
    parser.add_argument("--own", type=int, default=0, help="train questions of the own graft; 0 trains none")
    parser.add_argument("--report", action="store_true", help="print the results file and measure nothing")
    options = parser.parse_args()
    config = {"limit": options.limit, "dev": options.dev, "test": options.test}
    head = script.results_head(config, PACKAGES)
    out = script.results_path(options.out, "zero_labels", head["hardware"])
    results = {**head, "cells": {}}
    if out.is_file() and not options.fresh:
        results = script.read_results(out)
        script.require_same(out, results["config"], config)
    from benchmarks.transfer.held_out import measure_own, measure_source, print_cells

    for seed in map(int, options.seeds.split(",")):
        for held_out in options.domains:
            others = [name for name in DOMAINS if name != held_out]
            cells: dict[str, tuple[Any, Any]] = {f"source, seed {seed}": (measure_source, others)}
            if options.own:
                cells[f"own {options.own}, seed {seed}"] = (measure_own, options.own)
            for cell, (measure, argument) in cells.items():
                known = results["cells"].setdefault(held_out, {})
                if options.report or cell in known:
                    continue
                known[cell] = script.in_own_process(measure, held_out, argument, options.work, seed, config)
                script.write_results(out, results)
                print(held_out, cell, flush=True)
    print_cells(results["cells"])


if __name__ == "__main__":
    main()
