"""The errors of `retrieval`, all derived from `RetrievalError`."""

from __future__ import annotations


class RetrievalError(Exception):
    """What was found, what was expected, and the next step for the user."""

    def __init__(self, *, found: str, expected: str, next_step: str) -> None:
        super().__init__(found, expected, next_step)
        self.found = found
        self.expected = expected
        self.next_step = next_step

    def __str__(self) -> str:
        return f"{self.found}. Expected: {self.expected}. Next: {self.next_step}"


class NoDocumentsError(RetrievalError):
    """A folder contains no document to index; the index is unchanged."""


class ConversionError(RetrievalError):
    """A file cannot be converted to text; `found` names it."""


class EncoderError(RetrievalError):
    """The encoder is missing, damaged or unsuitable."""


class FilterError(RetrievalError):
    """A metadata filter is invalid."""


class IndexDamagedError(RetrievalError):
    """The index on disk is not what was written."""


class IndexMismatchError(RetrievalError):
    """The index belongs to another encoder or a newer release, or has another content."""


class NotIngestedError(RetrievalError):
    """There is no index yet, or an empty one."""


class RecordError(RetrievalError):
    """A record cannot be stored; nothing of its batch was written."""


class RerankerError(RetrievalError):
    """The configured reranker is missing or unsuitable."""


class UnknownDocumentError(RetrievalError):
    """The index has no document with that id."""
