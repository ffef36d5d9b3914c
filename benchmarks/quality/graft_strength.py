"""How much of a domain's gain a weakened graft keeps, and what it costs general text.

    python -m benchmarks.quality.graft_strength --data DIR
    python -m benchmarks.quality.graft_strength --data DIR --system adapter

Trains one graft of the quality benchmark on a data set with the gold passage. At several strengths (`answer.strength`
in domain.yaml), it then answers dev questions and reads general text with the graft on. The default graft has the kind,
length, rank and learning rates that domain.yaml has by default.
"""

from __future__ import annotations

import os
import re

from benchmarks.quality.settings import ALL_GRAFTS, DATA_SETS, Budget
from benchmarks.script import make_parser, positive, results_head, results_path, write_results

DEFAULT = "kv+adapter rank 4 rate 1e-3"
COLUMNS = ("", "token F1", "exact", "perplexity", "ratio to the template's")


def main() -> None:
    """Measure, print and write."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    parser = make_parser(__doc__, data="squad/ and covidqa/", work="quality")
    add = parser.add_argument
    add("--set", default="covidqa", choices=DATA_SETS, help="data set (default: %(default)s)")
    help_text = "a graft of the quality benchmark or one of its variants (default: %(default)s)"
    add("--system", default=DEFAULT, choices=list(ALL_GRAFTS), metavar="NAME", help=help_text)
    add("--seconds", type=float, default=Budget().gold_seconds, help="training time (default: %(default)s)")
    add("--questions", type=positive, default=Budget().test, help="dev questions (default: %(default)s)")
    options = parser.parse_args()
    from benchmarks.quality.strengths import measure
    from benchmarks.tables import estimate, interval_text, mean_text, print_table

    config = {"set": options.set, "system": options.system, "seconds": options.seconds, "split": "dev", "seed": 0}
    head = results_head(config, ("torch", "transformers"))
    rows = measure(options.data, options.work, options.set, options.system, options.seconds, options.questions)
    # Each graft has its own results file.
    name = "-".join(["graft_strength", *re.findall(r"[a-z0-9]+", options.system)])
    write_results(results_path(options.out, name, head["hardware"]), {**head, "rows": rows})
    table = [
        [
            row["system"],
            interval_text(estimate(row["scores"]["f1"])),
            mean_text(row["scores"]["exact"]),
            f"{row['general_perplexity']:.2f}",
            f"{row['general_perplexity'] / rows[0]['general_perplexity']:.3f}",
        ]
        for row in rows
    ]
    print_table(f"{options.set}, dev", COLUMNS, table)


if __name__ == "__main__":
    main()
