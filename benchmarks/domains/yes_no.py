"""Answers from a closed set: yes/no questions about the documents of `bank`, generated or chosen by likelihood.

    python -m benchmarks.domains.yes_no
    python -m benchmarks.domains.yes_no --seeds 0

The questions are in `benchmarks/domains/bank_yes_no.jsonl`; a third of the documents are dev. The text twin asks for
yes or no. Rows, each with the accuracy on dev:

- `majority`: always the most frequent answer of train
- `text-twin`, `soft-SEED`: the generated reply contains the answer
- `text-twin, likelihood` and so on: the answer whose words are likelier as the whole reply; `prior` corrects the
  likelihoods so that the answers are as frequent as in train
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import script
from benchmarks.tables import interval_text, print_table

COLUMNS = ("row", "questions", "accuracy (95%)", "replies that are yes")
PACKAGES = ("torch", "transformers", "sentence-transformers")


def numbers(text: str) -> list[int]:
    """The type of an option: integers, separated by commas."""
    return [int(part) for part in text.split(",")]


def main() -> None:
    """Measure all rows and print them."""
    parser = script.make_parser(__doc__, work="yes-no")
    parser.add_argument("--seeds", type=numbers, default=[0, 1, 2], help="default: 0,1,2")
    options = parser.parse_args()
    import torch

    from benchmarks.domains.yes_no_rows import measure

    head = script.results_head({"seeds": options.seeds}, PACKAGES, threads=torch.get_num_threads())
    out = script.results_path(options.out, "yes_no", head["hardware"])
    rows: list[dict[str, Any]] = []
    for row in measure(options.work, options.seeds):
        rows.append(row)
        script.write_results(out, {"rows": rows, **head})
        show([row])
    show(rows)


def show(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the rows."""
    table = [
        [row["row"], str(len(row["correct"])), interval_text(row["accuracy"]), f"{row['yes']:.2f}"] for row in rows
    ]
    print_table("yes/no questions about bank, dev", COLUMNS, table)


if __name__ == "__main__":
    main()
