"""Errors of the chains."""

from __future__ import annotations


class ChainError(Exception):
    """Base of all errors of `chains`; states what was found, what was expected and the next step."""

    def __init__(self, *, found: str, expected: str, next_step: str) -> None:
        self.found = found
        self.expected = expected
        self.next_step = next_step
        super().__init__(f"{found}. Expected: {expected}. Next: {next_step}")


class RemoteModelError(ChainError):
    """A model behind an API cannot be reached or used."""


class CutReplyError(ChainError):
    """A reply that must be JSON or a tool call is incomplete."""


class InputError(ChainError):
    """An input or setting is not supported."""


class UnknownThreadError(ChainError):
    """No conversation has that id."""


class MemoryDamagedError(ChainError):
    """The database of the conversations cannot be read."""


class MemoryUnavailableError(ChainError):
    """The database of the conversations is locked, full or cannot be written."""
