"""Errors of the chains.

ChainError
 ├─ RemoteModelError        a model behind an API cannot be reached or used (a missing key, say)
 ├─ InputError              the chain was called with something it does not take
 ├─ UnknownThreadError      no conversation is kept under that id
 ├─ MemoryDamagedError      the conversations' database cannot be read
 └─ MemoryUnavailableError  the conversations' database is locked, full or cannot be written
"""

from __future__ import annotations


class ChainError(Exception):
    """Base of every error of `chains`; says what was found, what was expected and what to do next."""

    def __init__(self, *, found: str, expected: str, next_step: str) -> None:
        self.found = found
        self.expected = expected
        self.next_step = next_step
        super().__init__(f"{found}. Expected: {expected}. Next: {next_step}")


class RemoteModelError(ChainError):
    """A model behind an API cannot be reached or used."""


class InputError(ChainError):
    """The chain was called with something it does not take."""


class UnknownThreadError(ChainError):
    """No conversation is kept under that id."""


class MemoryDamagedError(ChainError):
    """The conversations' database cannot be read."""


class MemoryUnavailableError(ChainError):
    """The conversations' database is locked, full or cannot be written."""
