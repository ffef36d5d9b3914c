"""Work that takes long, away from the event loop, and ended when nobody waits for it any more."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import closing
from typing import TypeVar

T = TypeVar("T")


async def off_loop(start: Callable[[Callable[[], bool]], Generator[T]]) -> AsyncGenerator[T]:
    """The items of an iterator that runs in a thread.

    Args:
        start: makes the iterator. It is given a function that says whether the caller has gone: cancelled, or done
            with the stream. The iterator asks it wherever it can stop.

    Raises:
        Exception: whatever the iterator raises.
    """
    loop = asyncio.get_running_loop()
    items: asyncio.Queue[T | _End] = asyncio.Queue()
    gone = threading.Event()

    def tell(item: T | _End) -> None:
        try:
            loop.call_soon_threadsafe(items.put_nowait, item)
        except RuntimeError:  # the loop is closed
            gone.set()

    def work() -> None:
        error: Exception | None = None
        try:
            # A caller may have gone while this waited for a thread.
            if not gone.is_set():
                with closing(start(gone.is_set)) as iterator:
                    for item in iterator:
                        tell(item)
                        if gone.is_set():
                            break
        except Exception as raised:  # noqa: BLE001 it is raised where the items are awaited
            error = raised
        tell(_End(error))

    loop.run_in_executor(None, contextvars.copy_context().run, work)
    try:
        while not isinstance(item := await items.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        gone.set()


class _End:
    def __init__(self, error: Exception | None) -> None:
        self.error = error
