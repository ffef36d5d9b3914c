"""How many requests are answered at once, how many may wait, and how many streams may be open.

A request beyond a limit is refused when it arrives, without waiting for anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from softgraft.server.errors import RequestError
from softgraft.server.metrics import Metrics
from softgraft.server.settings import ServerSettings


class Limits:
    """The places of one server process. All methods are called in the event loop."""

    def __init__(self, settings: ServerSettings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._places = asyncio.Semaphore(settings.running)
        self._admitted = 0
        self._running = 0
        self._streams = 0
        self.draining = False
        metrics.watch("running_requests", "Requests that are answered now", lambda: self._running)
        metrics.watch("waiting_requests", "Requests that wait for a place", lambda: self._admitted - self._running)
        metrics.watch("open_streams", "Open streams", lambda: self._streams)

    @property
    def running(self) -> int:
        """Number of requests that are answered now."""
        return self._running

    @property
    def streams(self) -> int:
        """Number of open streams."""
        return self._streams

    @property
    def first_token_seconds(self) -> float:
        """Maximum time from the arrival of a request to the first piece of its answer."""
        return self._settings.first_token_seconds

    def admit(self, *, stream: bool) -> Ticket:
        """Admit a request to the queue. The ticket must be closed.

        Raises:
            RequestError: 429 if the queue is full or too many streams are open, 503 if the server is stopping.
        """
        self.require_place()
        if stream and self._streams >= self._settings.streams:
            raise self._refusal("streams", f"{self._streams} streams are open", 429)
        self._admitted += 1
        self._streams += stream
        return Ticket(self, stream=stream)

    def require_place(self) -> None:
        """Refuse a request that would be refused anyway, before its body is read.

        Raises:
            RequestError: 429 if the queue is full, 503 if the server is stopping.
        """
        if self.draining:
            raise self._refusal("stopping", "the server is stopping", 503)
        if self._admitted >= self._settings.running + self._settings.queue:
            raise self._refusal("queue", f"{self._admitted} requests are running or waiting", 429)

    def too_late(self) -> RequestError:
        """The error for a request whose answer did not begin in time."""
        seconds = self._settings.first_token_seconds
        return self._refusal("first_token", f"the answer did not begin within {seconds:g} seconds", 503)

    def _refusal(self, reason: str, found: str, status: int) -> RequestError:
        self._metrics.refused.labels(reason).inc()
        seconds = self._settings.retry_after_seconds
        return RequestError(
            f"Overloaded: {found}. Next: ask again in {seconds} s." if status == 429 else f"Unavailable: {found}.",
            status=status,
            retry_after=seconds,
        )


class Ticket:
    """An admitted request."""

    def __init__(self, limits: Limits, *, stream: bool) -> None:
        self._limits = limits
        self._stream = stream
        self._in_queue = True

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Wait for a place and hold it in this context."""
        limits = self._limits
        async with limits._places:
            limits._running += 1
            try:
                yield
            finally:
                limits._running -= 1
                self.leave()

    def leave(self) -> None:
        """Leave the queue; the stream may still be open."""
        if self._in_queue:
            self._in_queue = False
            self._limits._admitted -= 1

    def close(self) -> None:
        """The response has ended."""
        self.leave()
        if self._stream:
            self._stream = False
            self._limits._streams -= 1
