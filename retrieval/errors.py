"""What `retrieval` raises, and nothing else crosses its boundary.

RetrievalError
├── NoDocumentsError      a folder holds nothing to index
├── ConversionError       one file cannot be turned into text
├── EncoderError          the encoder is missing, damaged or cannot do what is asked
├── FilterError           a metadata filter asks for what filters cannot say
├── IndexDamagedError     what is on disk is not what was written
├── IndexMismatchError    the index is another encoder's, of a newer release, or holds something else
├── NotIngestedError      there is no index yet
├── RecordError           a record cannot be stored as it is
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


class FilterError(RetrievalError):
    """A metadata filter asks for what filters cannot say; nothing was searched."""


class IndexDamagedError(RetrievalError):
    """What is on disk is not what was written there."""


class IndexMismatchError(RetrievalError):
    """The index belongs to another encoder or a newer release, or holds something else than is asked of it."""


class NotIngestedError(RetrievalError):
    """There is no index yet, or an empty one."""


class RecordError(RetrievalError):
    """A record cannot be stored as it is; nothing of its batch was."""


class RerankerError(RetrievalError):
    """The reranker that a domain names is missing, or cannot do what is asked of it."""
