from .bootstrap import Estimate, mean_interval, paired_difference
from .errors import EvaluationError, ItemsError
from .items import Item, items_hash, read_items
from .refusals import RefusalJudge, fit_refusal_judge
from .report import Report, Row, TaskReport
from .run import evaluate
from .systems import Answers, System
from .task_items import read_task_items
from .task_scores import task_scores
from .text_scores import contains_answer, exact_match, normalise, token_f1

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
