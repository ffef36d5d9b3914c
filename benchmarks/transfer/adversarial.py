"""Domain-adversarial training: labels of questions, asked of statements, beside plain training and a plain classifier.

    python -m benchmarks.transfer.adversarial --data DIR/banking77 --work DIR

The texts are those of some banking77 intents. Source: the train texts that end with a question mark, with labels.
Target: those that do not, half of them as unlabelled texts, the other half and those of test to measure on. No label of
the target is used, not for dev either: the epoch and the classifier's C are chosen on questions cut from train. It is a
shift of phrasing within one data set, made for this measurement, not two data sets of different origin. Rows:

- `logistic`: logistic regression on the encoder's vectors; reads no unlabelled text
- `plain-SEED`: plain training on the questions, with twice the steps, since an adversarial step reads twice the texts
- `adversarial-WEIGHT-SEED`: with the unlabelled statements

`cpu_seconds` is the processor time of the training steps alone, so other work on the machine does not count. Results
are written after each row; if you repeat the command, it measures only what is missing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import script
from benchmarks.tables import interval_text, print_table

ROWS = (
    "logistic",
    "plain-0",
    "adversarial-0.1-0",
    "adversarial-1-0",
    "plain-1",
    "adversarial-0.1-1",
    "adversarial-1-1",
)
COLUMNS = ("row", "texts", "accuracy (95%)", "on questions (dev)", "domain classifier", "steps", "CPU seconds")
PACKAGES = ("torch", "transformers", "scikit-learn")


def main() -> None:
    """Measure the missing rows and print all."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    parser = script.make_parser(__doc__, data="train.jsonl and test.jsonl", resumes=True)
    add = parser.add_argument
    add("--work", type=Path, required=True, help="folder for the domain and its soft prompts")
    add("--rows", type=script.names_of(ROWS), default=ROWS, help=f"{', '.join(ROWS)} (default: all)")
    add("--intents", type=script.positive, default=10, help="those with most statements (default: %(default)s)")
    add("--epochs", type=script.positive, default=4, help="of adversarial training (default: %(default)s)")
    options = parser.parse_args()
    config = {"intents": options.intents, "epochs": options.epochs}
    head = script.results_head(config, PACKAGES)
    out = script.results_path(options.out, "adversarial", head["hardware"])
    results = script.earlier_or({**head, "rows": []}, out, fresh=options.fresh)
    from benchmarks.transfer.adversarial_runs import Shift

    shift = Shift(options.data, options.work, options.intents, options.epochs)
    results |= shift.described()
    for name in options.rows:
        if any(row["row"] == name for row in results["rows"]):
            continue
        results["rows"] = sorted([*results["rows"], shift.measure(name)], key=lambda row: ROWS.index(row["row"]))
        script.write_results(out, results)
        show(results["rows"])


def show(rows: Sequence[dict[str, Any]]) -> None:
    """Print the rows."""
    table = [
        [
            row["row"], str(row["texts"]), interval_text(row["scores"]["accuracy"]), f"{row['dev_accuracy']:.3f}",
            "" if row.get("domain_accuracy") is None else f"{row['domain_accuracy']:.3f}",
            str(row.get("steps", "")), f"{row['cpu_seconds']:.0f}",
        ]
        for row in rows
    ]  # fmt: skip
    print_table("labels of questions, asked of statements", COLUMNS, table)


if __name__ == "__main__":
    main()
