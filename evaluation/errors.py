"""Errors of evaluation."""

from __future__ import annotations


class EvaluationError(Exception):
    """Base of all errors of `evaluation`; states what was found, what was expected and the next step."""

    def __init__(self, *, found: str, expected: str, next_step: str) -> None:
        self.found = found
        self.expected = expected
        self.next_step = next_step
        super().__init__(f"{found}. Expected: {expected}. Next: {next_step}")


class ItemsError(EvaluationError):
    """A data file is missing or malformed."""
