"""One training run on few questions of an example domain."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.script import utc_now
from evaluation.items import Item, spread
from softgraft import open_domain

# Of the report of a run; the rest of it is in the domain's settings.
_KEPT = (
    "kept", "examples", "train_withheld", "dev_questions", "dev_f1", "dev_f1_text_twin", "dev_loss",
    "dev_loss_text_twin", "best_epoch", "epochs", "steps", "seconds", "comparison",
)  # fmt: skip


def measure(work: Path, folder: Path, key: Mapping[str, Any], dev_limit: int) -> dict[str, Any]:
    """Train once; the index of the domain is made in `work` at its first run."""
    with closing(open_domain(folder, build=work / folder.name)) as domain:
        if not (work / folder.name / "index").is_dir():
            domain.ingest()
        steps = {"min_steps": key["min_steps"]} if key["min_steps"] else {"min_steps": 1}
        settings = domain.file.train.model_copy(update={**steps, "seed": key["seed"]})
        train = drawn(domain.items("train"), key["questions"], key["seed"])
        report = domain.grafting(settings).run(train, spread(domain.items("dev"), dev_limit))
        scores = _epoch_losses(work / folder.name / "train_log.jsonl")
    result = {name: value for name, value in asdict(report).items() if name in _KEPT}
    return {**key, **result, "dev_losses": scores, "finished": utc_now()}


def drawn(items: Sequence[Item], count: int, seed: int) -> list[Item]:
    """Some of the questions, in the order of the file. A larger draw with the same seed contains the smaller ones."""
    order = list(range(len(items)))
    random.Random(f"few-{seed}").shuffle(order)
    return [items[number] for number in sorted(order[:count])]


def _epoch_losses(log: Path) -> list[tuple[int, float]]:
    """Epoch and dev loss of every score in a run's log."""
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    return [(line["epoch"], round(line["dev_loss"], 4)) for line in lines if "step" not in line]
