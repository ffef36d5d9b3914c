from .bootstrap import Estimate, mean_interval, paired_difference
from .errors import EvaluationError, ItemsError
from .items import Item, items_hash, read_items
from .refusals import RefusalClassifier, fit_refusal_classifier
from .report import Report, SystemScores, TaskReport
from .run import evaluate
from .systems import System, SystemAnswers
from .task_items import read_task_items
from .task_scores import task_scores
from .text_scores import contains_answer, exact_match, normalise, token_f1

__all__ = [
    "Estimate",
    "EvaluationError",
    "Item",
    "ItemsError",
    "RefusalClassifier",
    "Report",
    "System",
    "SystemAnswers",
    "SystemScores",
    "TaskReport",
    "contains_answer",
    "evaluate",
    "exact_match",
    "fit_refusal_classifier",
    "items_hash",
    "mean_interval",
    "normalise",
    "paired_difference",
    "read_items",
    "read_task_items",
    "task_scores",
    "token_f1",
]
