"""Errors of the soft-prompt engine.

SoftPromptError
 ├─ BackboneError    the backbone is missing, damaged, or cannot do what was asked
 ├─ ArtifactError    a saved soft prompt is missing, damaged, or belongs to something else
 ├─ ContextError     a prompt is longer than the backbone's context
 ├─ ConstraintError  a reply is to follow a grammar that is broken
 └─ TrainingError    training cannot start or go on
     └─ DivergedError  its loss is no number, or stays above where it started
"""

from __future__ import annotations


class SoftPromptError(Exception):
    """Base of every error of `soft_prompt`; says what was found, what was expected and what to do next."""

    def __init__(self, *, found: str, expected: str, next_step: str) -> None:
        self.found = found
        self.expected = expected
        self.next_step = next_step
        super().__init__(f"{found}. Expected: {expected}. Next: {next_step}")


class BackboneError(SoftPromptError):
    """The backbone is missing, damaged, or cannot do what was asked."""


class ArtifactError(SoftPromptError):
    """A saved soft prompt is missing, damaged, or belongs to another backbone."""


class ContextError(SoftPromptError):
    """A prompt is longer than the backbone's context."""


class ConstraintError(SoftPromptError):
    """A reply is to follow a grammar that is broken, or asks for what is not known."""


class TrainingError(SoftPromptError):
    """Training cannot start, or cannot go on."""


class DivergedError(TrainingError):
    """The loss is no number, or stays above where it started."""
