"""The errors of this package, and one table from the errors of all packages to exit codes."""

from __future__ import annotations

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
from soft_prompt.errors import ArtifactError, BackboneError, SoftPromptError, TrainingError


class SoftgraftError(Exception):
    """Base of the errors of `softgraft`: what was found, what was expected, and the next step."""

    def __init__(self, *, found: str, expected: str, next_step: str) -> None:
        self.found = found
        self.expected = expected
        self.next_step = next_step
        super().__init__(f"{found}. Expected: {expected}. Next: {next_step}")


class DomainError(SoftgraftError):
    """The domain does not exist, or its domain.yaml has problems."""


class UsageError(SoftgraftError):
    """A command or method was called in a way that cannot work."""


# Subclasses come before their base classes: the first match counts.
EXIT_CODES: dict[int, tuple[type[Exception], ...]] = {
    2: (UsageError, InputError),
    3: (DomainError, UnknownThreadError, NotIngestedError),
    5: (ArtifactError, IndexMismatchError, IndexDamagedError, MemoryDamagedError),
    6: (BackboneError, EncoderError, MemoryUnavailableError, RemoteModelError),
    7: (TrainingError,),
    4: (EvaluationError, PromptError, RetrievalError, SoftPromptError),
    1: (ChainError, SoftgraftError),
}
KNOWN = (ChainError, EvaluationError, PromptError, RetrievalError, SoftPromptError, SoftgraftError)


def exit_code(error: Exception) -> int:
    """The exit code of a command that ends with an error of this project."""
    return next(code for code, classes in EXIT_CODES.items() if isinstance(error, classes))
