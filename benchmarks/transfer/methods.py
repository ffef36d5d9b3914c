"""Training methods: each from the same source on the same 60 labels, beside plain training for as long.

    python -m benchmarks.transfer.zero_labels --domains college --seeds 0,1,2
    python -m benchmarks.transfer.methods --domains college --seeds 0,1,2

`zero_labels` has made the source of the other example domains; its work folder is read. Each method trains on 60 train
questions of the domain and answers its test questions, and those of two of the source's domains (what was forgotten).
What is measured is the trained soft prompt, whether or not it beats its start on dev. `plain full rate` has
`source_rate: 1`. `mixture` mixes the source with one soft prompt per source domain, and `reptile`, `shared source` are
sources made by that method, then trained plainly; `text twin` and `text twin 10 layers` start from the text twin, since
a source trained in all layers cannot be continued in some. Results are written after each row; a repeated command
measures what is missing.
"""

from __future__ import annotations

import os

from benchmarks import script
from benchmarks.transfer.zero_labels import EXAMPLES, PACKAGES

METHODS = (
    "start", "plain", "plain full rate", "plain 90 steps", "replay 0.1", "replay 0.25", "replay 0.5",
    "replay 0.5 annealed", "weighted-replay", "mixture", "shared", "distillation", "text twin", "text twin 10 layers",
    "reptile source", "shared source",
)  # fmt: skip


def main() -> None:
    """Measure what is missing and print the table."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    parser = script.make_parser(__doc__, work="transfer", resumes=True)
    parser.add_argument("--domains", type=script.names_of(EXAMPLES), default=["college"], help="default: college")
    parser.add_argument("--seeds", default="0", help="seeds of the trainings, such as 0,1,2 (default: %(default)s)")
    parser.add_argument("--methods", type=script.names_of(METHODS), default=METHODS, help="default: all")
    parser.add_argument("--labels", type=script.positive, default=60, help="train questions of the domain")
    parser.add_argument("--limit", type=script.positive, default=240, help="train questions of each source domain")
    parser.add_argument("--dev", type=script.positive, default=40, help="dev questions of the domain")
    parser.add_argument("--test", type=script.positive, default=100, help="test questions of the domain")
    parser.add_argument("--forgotten", type=script.positive, default=40, help="test questions of the source domains")
    parser.add_argument("--report", action="store_true", help="print the results file and measure nothing")
    options = parser.parse_args()
    config = {name: getattr(options, name) for name in ("labels", "limit", "dev", "test", "forgotten")}
    head = script.results_head(config, PACKAGES)
    out = script.results_path(options.out, "methods", head["hardware"])
    results = script.earlier_or({**head, "cells": {}}, out, fresh=options.fresh)
    from benchmarks.transfer.method_runs import MethodRuns, print_methods

    for seed in map(int, options.seeds.split(",")):
        for name in options.domains:
            known = results["cells"].setdefault(name, {}).setdefault(str(seed), {})
            missing = [method for method in options.methods if method not in known]
            if options.report or not missing:
                continue
            runs = MethodRuns(name, tuple(one for one in EXAMPLES if one != name), options.work, seed, config)
            for method, row in runs.measure(missing):
                known[method] = row
                script.write_results(out, results)
                print(name, seed, method, flush=True)
    print_methods(results["cells"])


if __name__ == "__main__":
    main()
