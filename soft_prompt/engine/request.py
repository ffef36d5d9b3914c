"""Requests to the engine, and the jobs that deliver their replies."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass

from soft_prompt.graft.prompt import SoftPrompt
from soft_prompt.replies.reply import Delta
from soft_prompt.replies.sampling import Decoding
from soft_prompt.rows.prefix_store import PrefixStore
from soft_prompt.rows.row import Row


@dataclass(frozen=True, eq=False)
class Request:
    """One prompt to reply to.

    Attributes:
        store: the backbone, and the keys and values of prefixes.
        row: the encoded prompt.
        decoding: how to decode.
        number: seeds the row's random generator, together with the decoding's seed.
        reuse: whether to continue an earlier conversation of the store, and to remember this one.
        cancelled: checked before each step; True ends the request without a reply.
    """

    store: PrefixStore
    row: Row
    decoding: Decoding
    number: int = 0
    reuse: bool = False
    cancelled: Callable[[], bool] | None = None

    @property
    def group(self) -> Hashable:
        """Equal for the requests of a domain: the head of its prompts, and its soft prompts by content.

        Waiting requests of different groups are admitted by turns.
        """
        prompts = [part for part in self.row.suffix if isinstance(part, SoftPrompt)]
        return self.row.segments[0], tuple(_identity(prompt) for prompt in prompts)


def _identity(prompt: SoftPrompt) -> Hashable:
    in_training = any(tensor.requires_grad for tensor in prompt.tensors().values())
    return id(prompt) if in_training else prompt.digest


class Job:
    """The replies to some requests, as they arrive. Iterating yields each request's text; see `Delta`.

    A job is iterated by one thread. It ends when every request has its reply or was cancelled.
    """

    def __init__(self, requests: int, limit: int | None) -> None:
        self.limit = limit
        self.live = 0
        self._open = requests
        self._items: queue.SimpleQueue[Delta | Exception | None] = queue.SimpleQueue()
        self._cancelled = threading.Event()

    def __iter__(self) -> Iterator[Delta]:
        while (item := self._items.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item

    def cancel(self) -> None:
        """End all requests that have no reply yet."""
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        return self._cancelled.is_set()

    # For the engine.

    def finish_empty(self) -> None:
        """There was nothing to do."""
        self._items.put(None)

    def deliver(self, delta: Delta) -> None:
        self._items.put(delta)
        if delta.reply is not None:
            self.end_one()

    def end_one(self) -> None:
        """One request has ended."""
        self._open -= 1
        if not self._open:
            self._items.put(None)

    def fail(self, error: Exception) -> None:
        """The engine cannot go on with this job."""
        self._cancelled.set()
        self._items.put(error)
