"""Evaluating a task that is not a conversation: the systems on held-out examples, and the report."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Literal

from evaluation.bootstrap import paired_difference
from evaluation.report import TaskComparison, TaskReport, TaskSystemScores
from evaluation.rows import split_file
from evaluation.task_scores import SELECTION_SCORES, reply_score, task_scores
from softgraft.assembly.answers import Graft
from softgraft.assembly.evaluation import held_out, system_names, write_report
from softgraft.tasks.work import TaskWork

_GRAFTS: dict[str, Graft] = {"template": "empty", "text-twin": "text-twin", "soft": "soft"}

OnProgress = Callable[[str, int, int], None]


def evaluate_task(
    work: TaskWork,
    *,
    split: Literal["dev", "test"] = "test",
    limit: int | None = None,
    systems: Sequence[str] | None = None,
    on_progress: OnProgress | None = None,
) -> TaskReport:
    """Compare the systems on held-out examples; see `softgraft.domain.Domain.evaluate_task`."""
    domain, task = work.domain, work.task
    items = held_out(work.items(split), limit, split_file(domain.folder, split))
    trained = domain.graft == "soft"
    names = system_names(systems, trained=trained, cli_name=domain.cli_name, among=tuple(_GRAFTS))
    texts, references = [item.question for item in items], [item.target for item in items]
    replies: dict[str, list[str]] = {}
    rows = []
    for name in names:
        replies[name], seconds = _replies(work, name, texts, on_progress or (lambda *_: None))
        scores = task_scores(task, replies[name], references, domain.file.language)
        rows.append(TaskSystemScores(name, len(items), scores, seconds))
    config = domain.evaluation_config(split, items)
    report = TaskReport(task, tuple(rows), _comparisons(work, replies, references), config)
    kind = "label" if task == "classification" else "reply"
    lines = (
        {"system": name, "id": item.id, "text": item.question, kind: reply, "reference": item.target}
        for name in names
        for item, reply in zip(items, replies[name], strict=True)
    )
    write_report(domain.build, split, report.as_json(), lines)
    return report


def _replies(work: TaskWork, name: str, texts: Sequence[str], on_progress: OnProgress) -> tuple[list[str], float]:
    """The replies of one system, and the seconds per text."""
    worker = work.worker(_GRAFTS[name], on_fit=lambda done, total: on_progress(f"{name}, labels", done, total))
    began = time.perf_counter()
    replies = worker.replies(texts, on_reply=lambda done: on_progress(name, done, len(texts)))
    return replies, (time.perf_counter() - began) / len(texts)


def _comparisons(
    work: TaskWork, replies: dict[str, list[str]], references: Sequence[str]
) -> tuple[TaskComparison, ...]:
    """The soft prompt compared with each other system."""
    scores = {
        name: [reply_score(work.task, reply, gold) for reply, gold in zip(given, references, strict=True)]
        for name, given in replies.items()
    }
    soft = scores.pop("soft", None)
    differences = {name: paired_difference(soft, theirs) for name, theirs in scores.items()} if soft else {}
    return tuple(
        TaskComparison("soft", name, SELECTION_SCORES[work.task], difference)
        for name, difference in differences.items()
        if difference is not None
    )
