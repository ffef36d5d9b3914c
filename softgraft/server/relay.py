"""Run the work of one request in a task of its own, and stop it when the caller leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Generic, TypeVar

from starlette.requests import Request

from softgraft.server.limits import Ticket

T = TypeVar("T")


class CallerLeftError(Exception):
    """The caller closed the connection, so nobody reads a response."""


class Relay(Generic[T]):
    """Passes on what `produce` yields while it holds one of the server's places.

    The task is cancelled once and then ends undisturbed: a response that is cancelled by its framework would interrupt
    the clean-up of the answer at each of its steps.
    """

    def __init__(self, ticket: Ticket, produce: Callable[[], AsyncGenerator[T]]) -> None:
        self._items: asyncio.Queue[T | _End] = asyncio.Queue()
        self._task = asyncio.create_task(self._run(ticket, produce))
        # A task that is cancelled before its first step never gets to its `finally`.
        self._task.add_done_callback(lambda _: ticket.leave())

    async def next(self) -> T:
        """The next item. Raises StopAsyncIteration at the end, or the exception of `produce`."""
        item = await self._items.get()
        if isinstance(item, _End):
            if item.error is not None:
                raise item.error
            raise StopAsyncIteration
        return item

    async def rest(self) -> AsyncIterator[T]:
        """All further items."""
        while True:
            try:
                item = await self.next()
            except StopAsyncIteration:
                return
            yield item

    def stop(self) -> None:
        """Stop the work, if it has not ended."""
        self._task.cancel()

    async def _run(self, ticket: Ticket, produce: Callable[[], AsyncGenerator[T]]) -> None:
        end = _End(None)
        try:
            async with ticket.place(), aclosing(produce()) as items:
                async for item in items:
                    self._items.put_nowait(item)
        except Exception as error:  # noqa: BLE001 raised again where the items are awaited
            end = _End(error)
        finally:
            self._items.put_nowait(end)


async def unless_caller_leaves(request: Request, work: Awaitable[T]) -> T:
    """The result of `work`, which is cancelled if the caller closes the connection.

    Raises:
        CallerLeftError: if the caller did.
    """
    task = asyncio.ensure_future(work)
    watching = asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait({task, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise CallerLeftError
        return task.result()
    finally:
        task.cancel()
        watching.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


class _End:
    def __init__(self, error: Exception | None) -> None:
        self.error = error
