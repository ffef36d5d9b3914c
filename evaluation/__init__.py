"""Metrics, the systems that are compared, and the report."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evaluation.bootstrap import Estimate, mean_interval, paired_difference
    from evaluation.errors import EvaluationError, ItemsError
    from evaluation.items import Item, items_hash, read_items
    from evaluation.refusals import RefusalJudge, fit_refusal_judge
    from evaluation.report import Report, Row
    from evaluation.run import evaluate
    from evaluation.systems import Answers, System
    from evaluation.task_items import read_task_items
    from evaluation.task_report import TaskReport
    from evaluation.task_scores import task_scores
    from evaluation.text_scores import contains_answer, exact_match, normalise, token_f1

_HOME = {
    "Answers": "systems",
    "Estimate": "bootstrap",
    "EvaluationError": "errors",
    "Item": "items",
    "ItemsError": "errors",
    "RefusalJudge": "refusals",
    "Report": "report",
    "Row": "report",
    "System": "systems",
    "TaskReport": "task_report",
    "contains_answer": "text_scores",
    "evaluate": "run",
    "exact_match": "text_scores",
    "fit_refusal_judge": "refusals",
    "items_hash": "items",
    "mean_interval": "bootstrap",
    "normalise": "text_scores",
    "paired_difference": "bootstrap",
    "read_items": "items",
    "read_task_items": "task_items",
    "task_scores": "task_scores",
    "token_f1": "text_scores",
}

__all__ = [
    "Answers",
    "Estimate",
    "EvaluationError",
    "Item",
    "ItemsError",
    "RefusalJudge",
    "Report",
    "Row",
    "System",
    "TaskReport",
    "contains_answer",
    "evaluate",
    "exact_match",
    "fit_refusal_judge",
    "items_hash",
    "mean_interval",
    "normalise",
    "paired_difference",
    "read_items",
    "read_task_items",
    "task_scores",
    "token_f1",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'evaluation' has no attribute {name!r}")
    return getattr(import_module(f"evaluation.{_HOME[name]}"), name)
