"""What `retrieval` raises, and nothing else crosses its boundary.

RetrievalError
├── NoDocumentsError      a folder holds nothing to index
├── ConversionError       one file cannot be turned into text
├── EncoderError          the encoder is missing, damaged or cannot do what is asked
├── IndexDamagedError     what is on disk is not what was written
├── IndexMismatchError    the index was made by another encoder or a newer release
├── NotIngestedError      there is no index yet
└── RerankerError         the reranker is missing or is not one
"""

from __future__ import annotations


class RetrievalError(Exception):
    """What was found, what was expected, and what the reader of the message does next."""

    def __init__(self, *, found: str, expected: str, next_step: str) -> None:
        super().__init__(found, expected, next_step)
        self.found = found
        self.expected = expected
        self.next_step = next_step

    def __str__(self) -> str:
        return f"{self.found}. Expected: {self.expected}. Next: {self.next_step}"


class NoDocumentsError(RetrievalError):
    """A folder holds no document to index; whatever was indexed before is untouched."""


class ConversionError(RetrievalError):
    """One file cannot be turned into text; its name stands in `found`."""


class EncoderError(RetrievalError):
    """The encoder is missing, damaged or cannot do what is asked of it."""


class IndexDamagedError(RetrievalError):
    """What is on disk is not what was written there."""


class IndexMismatchError(RetrievalError):
    """The index belongs to another encoder, or to a newer release of this package."""


class NotIngestedError(RetrievalError):
    """There is no index yet, or an empty one."""


class RerankerError(RetrievalError):
    """The reranker that a domain names is missing, or cannot do what is asked of it."""
