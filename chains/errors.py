"""Errors of the chains."""

from prompts.errors import ExplainedError


class ChainError(ExplainedError):
    """Base of all errors of `chains`."""


class RemoteModelError(ChainError):
    """A model behind an API cannot be reached or used."""


class CutReplyError(ChainError):
    """A reply that must be JSON or a tool call is incomplete."""


class InputError(ChainError):
    """An input or setting is not supported."""


class ClosedError(ChainError):
    """A chain was used after it was closed."""


class UnknownThreadError(ChainError):
    """No conversation has that id."""


class MemoryDamagedError(ChainError):
    """The database of the conversations cannot be read."""


class MemoryUnavailableError(ChainError):
    """The database of the conversations is locked, full or cannot be written."""


class ErasureIncompleteError(MemoryUnavailableError):
    """A conversation is deleted, but its text is still in a file that another program uses."""
