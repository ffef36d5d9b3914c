"""Errors of the soft-prompt engine.

SoftPromptError
 ├─ BackboneError    the backbone is missing, damaged, or does not support the request
 ├─ ArtifactError    a saved soft prompt is missing, damaged, or belongs to another backbone
 ├─ ContextError     a prompt is longer than the backbone's context
 ├─ ConstraintError  a constraint on replies is invalid or not supported
 ├─ QueueFullError   too many requests wait for the backbone
 └─ TrainingError    training cannot start or continue
     └─ DivergedError  the loss is NaN or infinite, or stays above its start
"""

from __future__ import annotations


class SoftPromptError(Exception):
    """Base of every error of `soft_prompt`: what was found, what was expected, and what to do next."""

    def __init__(self, *, found: str, expected: str, next_step: str) -> None:
        self.found = found
        self.expected = expected
        self.next_step = next_step
        super().__init__(f"{found}. Expected: {expected}. Next: {next_step}")


class BackboneError(SoftPromptError):
    """The backbone is missing, damaged, or does not support the request."""


class ArtifactError(SoftPromptError):
    """A saved soft prompt is missing, damaged, or belongs to another backbone."""


class ContextError(SoftPromptError):
    """A prompt is longer than the backbone's context."""


class ConstraintError(SoftPromptError):
    """A constraint on replies is invalid, or uses what is not supported."""


class QueueFullError(SoftPromptError):
    """Too many requests wait for the backbone. A later one may succeed."""


class TrainingError(SoftPromptError):
    """Training cannot start or continue."""


class DivergedError(TrainingError):
    """The loss is NaN or infinite, or stays above its start."""
