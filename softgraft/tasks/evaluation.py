"""Evaluating a domain whose task is no conversation: the systems on held-out examples, and the report."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from evaluation.bootstrap import paired_difference
from evaluation.items import Item, spread
from evaluation.report import TaskComparison, TaskReport, TaskSystemScores
from evaluation.task_scores import SELECTION_SCORES, reply_score, task_scores
from softgraft.assembly.answers import Graft
from softgraft.assembly.system_names import system_names
from softgraft.errors import UsageError
from softgraft.tasks.work import TaskWork

_GRAFTS: dict[str, Graft] = {"template": "empty", "text-twin": "text-twin", "soft": "soft"}

OnProgress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class _Found:
    system: str
    replies: list[str]
    seconds: float


def evaluate_task(
    work: TaskWork,
    *,
    split: Literal["dev", "test"] = "test",
    limit: int | None = None,
    systems: Sequence[str] | None = None,
    on_progress: OnProgress | None = None,
) -> TaskReport:
    """Compare the systems on held-out examples; the report and every reply are written to build/reports/.

    Args:
        work: the domain's task.
        split: which examples.
        limit: so many of them, spread over the file; None takes all.
        systems: names of those to compare: `template`, with an empty slot, `text-twin`, `soft`; None compares all that
            this domain has.
        on_progress: called with the system's name, texts done and texts in all.

    Raises:
        UsageError: no examples, or a system that is not known or not there.
    """
    domain, tell = work.domain, on_progress or (lambda *_: None)
    items = spread(work.items(split), limit)
    if not items:
        raise UsageError(
            found=f"no examples in {domain.folder / f'{split}.jsonl'}",
            expected="examples to evaluate on",
            next_step=f"write some to {split}.jsonl",
        )
    trained = not domain.remote and domain.manifest is not None
    names = system_names(systems, trained=trained, cli_name=domain.cli_name, among=tuple(_GRAFTS))
    found = [_replies(work, name, items, tell) for name in names]
    references = [item.target for item in items]
    language = domain.file.language
    rows = tuple(
        TaskSystemScores(f.system, len(items), task_scores(work.task, f.replies, references, language), f.seconds) for f in found
    )
    report = TaskReport(work.task, rows, _differences(work, found, references), domain.evaluation_config(split, items))
    _write(work, report, found, items, split)
    return report


def _replies(work: TaskWork, name: str, items: Sequence[Item], tell: OnProgress) -> _Found:
    worker = work.worker(_GRAFTS[name], on_fit=lambda done, total: tell(f"{name}, labels", done, total))
    began = time.perf_counter()
    replies = worker.replies([item.question for item in items], on_reply=lambda done: tell(name, done, len(items)))
    return _Found(name, replies, (time.perf_counter() - began) / len(items))


def _differences(work: TaskWork, found: Sequence[_Found], references: Sequence[str]) -> tuple[TaskComparison, ...]:
    """Of the soft prompt and each of the others."""
    told = {f.system: [reply_score(work.task, r, g) for r, g in zip(f.replies, references, strict=True)] for f in found}
    if "soft" not in told:
        return ()
    compared = []
    for name in told:
        difference = paired_difference(told["soft"], told[name])
        if name != "soft" and difference is not None:
            compared.append(TaskComparison("soft", name, SELECTION_SCORES[work.task], difference))
    return tuple(compared)


def _write(work: TaskWork, report: TaskReport, found: Sequence[_Found], items: Sequence[Item], split: str) -> None:
    folder = work.domain.build / "reports"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"eval-{split}.json").write_text(json.dumps(report.as_json(), indent=1, ensure_ascii=False))
    said = "label" if work.task == "classification" else "reply"
    with (folder / f"eval-{split}-replies.jsonl").open("w", encoding="utf-8") as file:
        for one in found:
            for item, reply in zip(items, one.replies, strict=True):
                row = {
                    "system": one.system,
                    "id": item.id,
                    "text": item.question,
                    said: reply,
                    "reference": item.target,
                }
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
