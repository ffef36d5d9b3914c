"""What answers best: a quote, the model's own words, both, or an excerpt chosen by the model.

    python -m benchmarks.answers.answer_forms --data DIR
    python -m benchmarks.answers.answer_forms --data DIR --sets bank,squad --seeds 0,1,2

Each set is a domain as `softgraft new` makes it; `college` and `playhouse` were never used for a choice. Every form
answers the same test questions, with the text twin and, for each seed, with a soft prompt that was trained with the
default settings. `auto` is the form that was chosen on dev. Results are written after each cell; if you repeat the
command, it measures only what is missing.
"""

from __future__ import annotations

import os

from benchmarks import script

SETS = ("bank", "clinic", "squad", "covidqa", "mtrag", "xquad_zh", "college", "playhouse")
PACKAGES = ("torch", "transformers", "sentence-transformers", "faiss-cpu", "llguidance")
UNTRAINED = "text twin"


def main() -> None:
    """Measure what is missing and print the tables."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    parser = script.make_parser(__doc__, data="squad/, covidqa/, mtrag/ and xquad_zh/", work="forms", resumes=True)
    parser.add_argument("--sets", type=script.names_of(SETS), default=SETS, help=f"{', '.join(SETS)} (default: all)")
    parser.add_argument("--seeds", default="", help="seeds of the trainings, such as 0,1,2 (default: no training)")
    parser.add_argument("--limit", type=script.positive, default=100, help="test questions (default: %(default)s)")
    parser.add_argument("--train", type=script.positive, default=100, help="train questions (default: %(default)s)")
    parser.add_argument("--dev", type=script.positive, default=40, help="dev questions (default: %(default)s)")
    parser.add_argument("--report", action="store_true", help="print the results file and measure nothing")
    options = parser.parse_args()
    config = {"limit": options.limit, "train": options.train, "dev": options.dev}
    head = script.results_head(config, PACKAGES)
    out = script.results_path(options.out, "answer_forms", head["hardware"])
    results = script.earlier_or({**head, "cells": {}}, out, fresh=options.fresh)
    from benchmarks.answers.form_cells import measure_form_cell, print_forms

    cells = [UNTRAINED, *(f"seed {seed}" for seed in options.seeds.split(",") if seed)]
    for name in options.sets:
        for cell in cells:
            if options.report or cell in results["cells"].get(name, {}):
                continue
            seed = None if cell == UNTRAINED else int(cell.removeprefix("seed "))
            measured = script.in_own_process(measure_form_cell, name, options.data, options.work, seed, config)
            results["cells"].setdefault(name, {})[cell] = measured
            script.write_results(out, results)
            print(name, cell, flush=True)
    print_forms(results["cells"])


if __name__ == "__main__":
    main()
