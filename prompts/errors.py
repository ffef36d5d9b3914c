"""Errors of the template library."""

from __future__ import annotations


class ExplainedError(Exception):
    """States what was found, what was expected and the next step."""

    def __init__(self, *, found: str, expected: str, next_step: str) -> None:
        self.found = found
        self.expected = expected
        self.next_step = next_step
        super().__init__(f"{found}. Expected: {expected}. Next: {next_step}")


class PromptError(ExplainedError):
    """Base of all errors of `prompts`."""


class TemplateError(PromptError):
    """A template file is malformed."""


class UnknownTemplateError(PromptError):
    """No template has that name and language."""


class UnknownInputError(PromptError):
    """An input is not declared by the template, or its value has the wrong kind."""


class MissingInputError(PromptError):
    """A declared input has no value."""
