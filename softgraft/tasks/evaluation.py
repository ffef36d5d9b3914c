"""Evaluating a task that is not a conversation: the systems on held-out examples, and the report."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from evaluation.bootstrap import paired_difference
from evaluation.items import Item, spread
from evaluation.report import TaskComparison, TaskReport, TaskSystemScores
from evaluation.task_scores import SELECTION_SCORES, reply_score, task_scores
from softgraft.assembly.answers import Graft
from softgraft.assembly.reports import write_report
from softgraft.assembly.system_names import system_names
from softgraft.errors import UsageError
from softgraft.tasks.work import TaskWork

_GRAFTS: dict[str, Graft] = {"template": "empty", "text-twin": "text-twin", "soft": "soft"}

OnProgress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class _SystemReplies:
    """What one system replied to every example; `seconds` per example."""

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
        limit: maximum number of examples, spread over the file; None takes all.
        systems: `template` (with an empty slot), `text-twin`, `soft`; None compares all that this domain has.
        on_progress: called with the system's name, the number of finished texts and of all.

    Raises:
        UsageError: if there are no examples, or a system is unknown or not trained.
    """
    domain, report_progress = work.domain, on_progress or (lambda *_: None)
    items = spread(work.items(split), limit)
    if not items:
        raise UsageError(
            found=f"no examples in {domain.folder / f'{split}.jsonl'}",
            expected="examples to evaluate on",
            next_step=f"write some to {split}.jsonl",
        )
    trained = not domain.remote and domain.manifest is not None
    names = system_names(systems, trained=trained, cli_name=domain.cli_name, among=tuple(_GRAFTS))
    results = [_replies(work, name, items, report_progress) for name in names]
    references = [item.target for item in items]
    rows = tuple(
        TaskSystemScores(
            one.system, len(items), task_scores(work.task, one.replies, references, domain.file.language), one.seconds
        )
        for one in results
    )
    comparisons = _comparisons(work, results, references)
    report = TaskReport(work.task, rows, comparisons, domain.evaluation_config(split, items))
    kind = "label" if work.task == "classification" else "reply"
    replies = (
        {"system": one.system, "id": item.id, "text": item.question, kind: reply, "reference": item.target}
        for one in results
        for item, reply in zip(items, one.replies, strict=True)
    )
    write_report(domain.build, split, report.as_json(), replies)
    return report


def _replies(work: TaskWork, name: str, items: Sequence[Item], report_progress: OnProgress) -> _SystemReplies:
    def on_fit(done: int, total: int) -> None:
        report_progress(f"{name}, labels", done, total)

    worker = work.worker(_GRAFTS[name], on_fit=on_fit)
    began = time.perf_counter()
    texts = [item.question for item in items]
    replies = worker.replies(texts, on_reply=lambda done: report_progress(name, done, len(items)))
    return _SystemReplies(name, replies, (time.perf_counter() - began) / len(items))


def _comparisons(
    work: TaskWork, results: Sequence[_SystemReplies], references: Sequence[str]
) -> tuple[TaskComparison, ...]:
    """The soft prompt compared with each other system."""
    scores = {
        one.system: [reply_score(work.task, reply, gold) for reply, gold in zip(one.replies, references, strict=True)]
        for one in results
    }
    if "soft" not in scores:
        return ()
    comparisons = []
    for name in scores:
        difference = paired_difference(scores["soft"], scores[name])
        if name != "soft" and difference is not None:
            comparisons.append(TaskComparison("soft", name, SELECTION_SCORES[work.task], difference))
    return tuple(comparisons)
