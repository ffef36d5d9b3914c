"""Errors of evaluation.

EvaluationError
 └─ ItemsError  a question file is missing or malformed
"""

from __future__ import annotations


class EvaluationError(Exception):
    """Base of every error of `evaluation`; says what was found, what was expected and what to do next."""

    def __init__(self, *, found: str, expected: str, next_step: str) -> None:
        self.found = found
        self.expected = expected
        self.next_step = next_step
        super().__init__(f"{found}. Expected: {expected}. Next: {next_step}")


class ItemsError(EvaluationError):
    """A question file is missing or malformed."""
