"""The errors of this package, and one table from the errors of all packages to exit codes and HTTP statuses."""

from __future__ import annotations

from dataclasses import dataclass

from chains.errors import (
    ChainError,
    InputError,
    MemoryDamagedError,
    MemoryUnavailableError,
    RemoteModelError,
    UnknownThreadError,
)
from evaluation.errors import EvaluationError
from prompts.errors import PromptError
from retrieval.errors import EncoderError, IndexDamagedError, IndexMismatchError, NotIngestedError, RetrievalError
from soft_prompt.errors import ArtifactError, BackboneError, QueueFullError, SoftPromptError, TrainingError


class SoftgraftError(Exception):
    """Base of the errors of `softgraft`: what was found, what was expected, and the next step."""

    def __init__(self, *, found: str, expected: str, next_step: str) -> None:
        self.found = found
        self.expected = expected
        self.next_step = next_step
        super().__init__(f"{found}. Expected: {expected}. Next: {next_step}")


class DomainError(SoftgraftError):
    """The domain does not exist, or its domain.yaml has problems."""


class UnknownDomainError(DomainError):
    """The server has no such domain, or the caller may not use it."""


class UsageError(SoftgraftError):
    """A command or method was called in a way that cannot work."""


class StorageError(SoftgraftError):
    """The disk, memory or an output does not take what has to be written, or a file cannot be used."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The exit code of a command and the HTTP status of a server that end with an error."""

    exit_code: int
    http_status: int


# Subclasses come before their base classes: the first match counts.
OUTCOMES: tuple[tuple[type[Exception], Outcome], ...] = (
    (UsageError, Outcome(2, 400)),
    (InputError, Outcome(2, 400)),
    (DomainError, Outcome(3, 404)),
    (UnknownThreadError, Outcome(3, 404)),
    (NotIngestedError, Outcome(3, 409)),
    (PromptError, Outcome(4, 422)),
    (EvaluationError, Outcome(4, 422)),
    (ArtifactError, Outcome(5, 409)),
    (IndexMismatchError, Outcome(5, 409)),
    (IndexDamagedError, Outcome(5, 500)),
    (MemoryDamagedError, Outcome(5, 500)),
    (EncoderError, Outcome(6, 503)),
    (MemoryUnavailableError, Outcome(6, 503)),
    (StorageError, Outcome(6, 503)),
    (RetrievalError, Outcome(4, 422)),
    (BackboneError, Outcome(6, 503)),
    (RemoteModelError, Outcome(6, 502)),
    (QueueFullError, Outcome(6, 503)),
    (TrainingError, Outcome(7, 422)),
    (SoftPromptError, Outcome(4, 422)),
    (ChainError, Outcome(1, 500)),
    (SoftgraftError, Outcome(1, 500)),
)

KNOWN = (ChainError, EvaluationError, PromptError, RetrievalError, SoftPromptError, SoftgraftError)


def outcome_of(error: Exception) -> Outcome:
    """The outcome of an error of this project."""
    return next(outcome for error_class, outcome in OUTCOMES if isinstance(error, error_class))
