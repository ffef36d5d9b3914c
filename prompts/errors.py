"""Errors of the template library.

PromptError
 ├─ TemplateError        a template file is malformed (every problem of the file is listed)
 ├─ UnknownTemplateError no template of that name
 ├─ UnknownInputError    a value was given that the template does not declare
 └─ MissingInputError    a declared input was not given
"""

from __future__ import annotations


class PromptError(Exception):
    """Base of every error of `prompts`; says what was found, what was expected and what to do next."""

    def __init__(self, *, found: str, expected: str, next_step: str) -> None:
        self.found = found
        self.expected = expected
        self.next_step = next_step
        super().__init__(f"{found}. Expected: {expected}. Next: {next_step}")


class TemplateError(PromptError):
    """A template file is malformed."""


class UnknownTemplateError(PromptError):
    """No template of that name in that language."""


class UnknownInputError(PromptError):
    """A value was given that the template does not declare."""


class MissingInputError(PromptError):
    """A declared input was not given."""
