"""Requests to the engine, and the jobs that deliver their replies."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Protocol

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
    """

    store: PrefixStore
    row: Row
    decoding: Decoding
    number: int = 0
    reuse: bool = False

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


class Runner(Protocol):
    """What a job needs of its engine."""

    def drive(self, job: Job) -> bool:
        """Run a step in the caller's thread. False if another thread runs the steps."""

    def drop_cancelled(self) -> None:
        """End the requests of cancelled jobs."""

    def closed(self, job: Job) -> None:
        """A job has ended."""


class Job:
    """The replies to some requests, as they arrive. Iterating yields each request's text; see `Delta`.

    One thread iterates a job. It ends when every request has its reply or was cancelled.
    """

    def __init__(self, runner: Runner, requests: int, limit: int | None, cancelled: Callable[[], bool] | None) -> None:
        self.limit = limit
        self.live = 0
        self._runner = runner
        self._open = requests
        self._asked = cancelled
        self._items: queue.SimpleQueue[Delta | Exception | None] = queue.SimpleQueue()
        self._cancelled = threading.Event()
        self._read = False

    def __iter__(self) -> Iterator[Delta]:
        while not self._read:
            try:
                item = self._items.get_nowait()
            except queue.Empty:
                if self._runner.drive(self):
                    continue
                item = self._items.get()
            if isinstance(item, Delta):
                yield item
                continue
            self._read = True
            if item is not None:
                raise item

    def cancel(self) -> None:
        """End all requests that have no reply yet."""
        self._cancelled.set()
        if self._open > 0:
            self._runner.drop_cancelled()

    # For the engine.

    def was_cancelled(self) -> bool:
        """Whether nobody waits for the replies any more. Asks the caller, whose error ends the job."""
        if not self._cancelled.is_set() and self._asked is not None:
            try:
                if self._asked():
                    self._cancelled.set()
            except Exception as error:  # noqa: BLE001 raised where the replies are awaited
                self.fail(error)
        return self._cancelled.is_set()

    def deliver(self, delta: Delta) -> None:
        """Hand over a piece of a reply, or its end."""
        self._items.put(delta)
        if delta.reply is not None:
            self.end_one()

    def end_one(self) -> None:
        """One request has ended."""
        self._open -= 1
        if self._open <= 0:
            self._items.put(None)
            self._runner.closed(self)

    def fail(self, error: Exception) -> None:
        """The engine cannot go on with this job."""
        self._cancelled.set()
        self._items.put(error)
