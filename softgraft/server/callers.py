"""Who makes a request: the domains that the caller may use, and the ids of the caller's conversations.

The caller is a context variable, so that every route has it: code that runs in a thread must be started with
`asyncio.to_thread` or by FastAPI, which copy the context.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

_SEPARATOR = "/"


@dataclass(frozen=True, slots=True)
class Caller:
    """The holder of a key.

    Attributes:
        name: name of the key; empty on a server without keys.
        domains: the domains that the key allows; None for all.
    """

    name: str = ""
    domains: frozenset[str] | None = None

    def may_use(self, domain: str) -> bool:
        """Whether the key allows a domain."""
        return self.domains is None or domain in self.domains


_caller: ContextVar[Caller] = ContextVar("softgraft_caller", default=Caller())  # noqa: B039 frozen


def current_caller() -> Caller:
    """The caller of the request that is being answered; without keys, one that may use everything."""
    return _caller.get()


@contextmanager
def calling(caller: Caller) -> Iterator[None]:
    """A context in which `caller` makes the request."""
    token = _caller.set(caller)
    try:
        yield
    finally:
        _caller.reset(token)


def stored_thread(thread_id: str) -> str:
    """The id under which a conversation of the current caller is stored.

    On a server with keys it begins with the name of the key, so that nobody reads another's conversations.
    """
    name = current_caller().name
    return f"{name}{_SEPARATOR}{thread_id}" if name else thread_id


def shown_thread(stored_id: str) -> str | None:
    """The id that the current caller knows a stored conversation by; None if it belongs to somebody else.

    Use it to list conversations: `[t for t in threads if shown_thread(t.thread) is not None]`.
    """
    name = current_caller().name
    if not name:
        return stored_id
    prefix = f"{name}{_SEPARATOR}"
    return stored_id.removeprefix(prefix) if stored_id.startswith(prefix) else None
