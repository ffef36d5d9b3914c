"""Errors of evaluation.

EvaluationError
 └─ ItemsError  a data file is missing or malformed
"""

from prompts.errors import ExplainedError


class EvaluationError(ExplainedError):
    """Base of all errors of `evaluation`."""


class ItemsError(EvaluationError):
    """A data file is missing or malformed."""
