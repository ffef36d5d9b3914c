"""Indirect prompt injection: how often a model follows an instruction in a retrieved passage, and a defence.

    python -m benchmarks.injection.injection --data DIR
    python -m benchmarks.injection.injection --data DIR --domains bank --seeds 0,1,2 --systems soft,defended
    python -m benchmarks.injection.injection --data DIR --sample 80

Each attack of BIPIA's test categories is inserted in one passage of the evidence of a test question of `bank` and
`clinic`, at its start, middle or end, and the question is asked. `soft` is a soft prompt trained without attacks.
`defended` had attacks of BIPIA's train categories in the evidence of half of its train questions
(`train.attack_share`), `built-in` the built-in texts, and `continued` is `soft` after one more epoch with BIPIA's.
`asked directly` is the model whose user asks for the attack: the most that a system can follow. `--override` adds the
attacks as the end of the best passage behind an order to ignore the question, `--emails` BIPIA's questions about
e-mails. `--passages-last` takes a template whose passages follow the question. Replies are in the work folder and are
judged by rules without a model; judging again takes seconds.
`--sample N` writes N judgements, half of them of followed attacks, to be checked by reading; `judged.jsonl` has such a
sample with a `label` each.
"""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks import script
from benchmarks.injection.systems import DOMAINS, PACKAGES, TRAINED, UNTRAINED


def main() -> None:
    """Measure what is missing, judge all replies and print the tables."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    parser = script.make_parser(__doc__, data="bipia", work="injection", resumes=True)
    systems = (*UNTRAINED, *TRAINED)
    add = parser.add_argument
    add("--domains", type=script.names_of(DOMAINS), default=DOMAINS, help=f"default: {','.join(DOMAINS)}")
    add("--systems", type=script.names_of(systems), default=systems, help="separated by commas (default: all)")
    add("--seeds", default="0", help="seeds of the trainings, such as 0,1,2 (default: %(default)s)")
    add("--train", type=script.positive, default=120, help="train questions (default: %(default)s)")
    add("--dev", type=script.positive, default=40, help="dev questions (default: %(default)s)")
    add("--test", type=script.positive, default=100, help="test questions (default: %(default)s)")
    add("--emails", action="store_true", help="the questions about e-mails too, with the prompt of `bank`")
    add("--passages-last", action="store_true", help="with a template that has the passages after the question")
    add("--override", action="store_true", help="the attacks behind an order to ignore the question too")
    add("--sample", type=script.positive, help="write this many judgements to be checked")
    add("--report", action="store_true", help="judge and print what was measured, and measure nothing")
    options = parser.parse_args()
    config = {name: getattr(options, name) for name in ("train", "dev", "test")}
    head = script.results_head(config, PACKAGES)
    out = script.results_path(options.out, "injection", head["hardware"])
    results = script.earlier_or({**head, "cells": {}}, out, fresh=options.fresh)
    from benchmarks.injection.cells import InjectionCells
    from benchmarks.injection.report import print_results, write_sample

    cells = InjectionCells(options.data, options.work, config)
    if not options.report:
        for cell in cells.wanted(
            options.domains,
            options.systems,
            options.seeds,
            override=options.override,
            emails=options.emails,
            passages_last=options.passages_last,
        ):
            if cell.name not in results["cells"].setdefault(cell.group, {}):
                cells.measure(cell, fresh=options.fresh)
                results["cells"][cell.group][cell.name] = cells.judged(cell)
                script.write_results(out, results)
                print(cell.group, cell.name, flush=True)
    # The rules may have changed since a cell was measured.
    results["cells"] = cells.judged_again(results["cells"])
    script.write_results(out, results)
    if options.sample:
        write_sample(cells, results["cells"], options.sample, options.work / "sample.jsonl")
    print_results(results["cells"], Path(__file__).parent / "judged.jsonl")


if __name__ == "__main__":
    main()
