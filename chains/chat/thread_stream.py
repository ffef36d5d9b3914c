"""Run a generator in a thread for an async caller, and stop it when the caller stops waiting."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import closing
from typing import TypeVar

T = TypeVar("T")


async def stream_in_thread(start: Callable[[Callable[[], bool]], Generator[T]]) -> AsyncGenerator[T]:
    """Yield the items of a generator that runs in a thread, and raise its exception.

    `start` gets a function that returns whether the caller has cancelled or closed the stream; the generator calls it
    wherever it can stop.
    """
    loop = asyncio.get_running_loop()
    items: asyncio.Queue[T | _End] = asyncio.Queue()
    cancelled = threading.Event()

    def put(item: T | _End) -> None:
        try:
            loop.call_soon_threadsafe(items.put_nowait, item)
        except RuntimeError:  # the loop is closed
            cancelled.set()

    def run_generator() -> None:
        error: Exception | None = None
        try:
            # The caller may have cancelled before a thread was free.
            if not cancelled.is_set():
                with closing(start(cancelled.is_set)) as generator:
                    for item in generator:
                        put(item)
                        if cancelled.is_set():
                            break
        except Exception as raised:  # noqa: BLE001 raised again where the items are awaited
            error = raised
        finally:
            put(_End(error))

    # A thread of its own: the loop's executor has only a few, and those that wait for the engine would fill it.
    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(run_generator,), name="softgraft-stream", daemon=True).start()
    try:
        while not isinstance(item := await items.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        cancelled.set()


class _End:
    def __init__(self, error: Exception | None) -> None:
        self.error = error
