"""Classification of bank customers' messages into 77 labels: template, text twin, soft prompt and simple classifiers.

    python -m benchmarks.domains.banking77 --data DIR/banking77 --work DIR
    python -m benchmarks.domains.banking77 --data DIR/banking77 --work DIR --rows text-twin,soft-0

The domain is created as by `softgraft new intents --task classification`, without calibration. Dev is cut from train,
label by label; the epoch and the logistic regression's C are chosen on dev, and test is used once. Rows:

- `logistic`: logistic regression on the encoder's vectors; `nearest`: the label of the nearest training example
- `template`: an empty slot; `text-twin`: the slot's text; `soft-SEED`: the trained soft prompt

Results are written after each row; if you repeat the command, it measures only what is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import script
from benchmarks.tables import interval_text, print_table

ROWS = ("logistic", "nearest", "template", "text-twin", "soft-0", "soft-1", "soft-2")
COLUMNS = ("row", "texts", "accuracy (95%)", "macro recall", "macro F1")
PACKAGES = ("torch", "transformers", "sentence-transformers", "scikit-learn")


def main() -> None:
    """Measure the missing rows and print all."""
    parser = script.make_parser(__doc__, data="train.jsonl and test.jsonl", resumes=True)
    add = parser.add_argument
    add("--work", type=Path, required=True, help="folder for domains and soft prompts")
    add("--rows", type=script.names_of(ROWS), default=ROWS, help=f"{', '.join(ROWS)} (default: all)")
    add("--limit", type=script.positive, help="test texts, spread over the file (default: all)")
    add("--threads", type=script.positive, help="CPU threads (default: all cores)")
    options = parser.parse_args()
    import torch

    from benchmarks.domains.banking77_rows import measure

    if options.threads:
        torch.set_num_threads(options.threads)
    head = script.results_head({}, PACKAGES, threads=torch.get_num_threads())
    out = script.results_path(options.out, "banking77", head["hardware"])
    options.work.mkdir(parents=True, exist_ok=True)
    for name in options.rows:
        if not options.fresh and any(row["row"] == name for row in _read(out)["rows"]):
            continue
        row, hashes = measure(options.work, options.data, name, options.limit)
        # Read the file again, because another process may have written a row in the meantime.
        others = [other for other in _read(out)["rows"] if other["row"] != name]
        rows = sorted([*others, row], key=lambda row: ROWS.index(row["row"]))
        script.write_results(out, {"rows": rows, **head, "data_sha256": hashes})
        show(rows)


def _read(out: Path) -> dict[str, Any]:
    return script.read_results(out) if out.is_file() else {"rows": []}


def show(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the rows."""
    table = []
    for row in rows:
        scores = row["scores"]
        means = [f"{scores[name]['mean']:.3f}" for name in ("macro recall", "macro F1")]
        table.append([row["row"], str(row["texts"]), interval_text(scores["accuracy"]), *means])
    print_table("banking77, test", COLUMNS, table)


if __name__ == "__main__":
    main()
