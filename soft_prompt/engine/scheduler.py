"""Which requests run, and which of their tokens run in the next step.

Requests wait in one line per group, which is a domain, and the lines take turns. A waiting request starts when a place
and enough memory for its longest reply are free. Prompts run in slices beside the decoding rows, so that a long prompt
delays the others by one slice at a time.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Collection, Hashable
from dataclasses import dataclass

from soft_prompt.engine.request import Job
from soft_prompt.engine.running import Running


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of an engine.

    Attributes:
        rows: requests that run at a time.
        waiting: requests that may wait. More are refused if their caller allows it (`Engine.submit`).
        memory_bytes: keys and values that requests compute themselves. A request that needs more runs alone.
        slice_tokens: prompt tokens per step while other requests decode.
        free_slice_tokens: prompt tokens per step while none does.
    """

    rows: int = 64
    waiting: int = 1024
    memory_bytes: int = 2 * 1024**3
    slice_tokens: int = 256
    free_slice_tokens: int = 1024


class Scheduler:
    """The waiting and the running requests of an engine. One thread uses it."""

    def __init__(self, limits: Limits, block_bytes: int) -> None:
        self._limits = limits
        self._blocks = limits.memory_bytes // block_bytes
        self._reserved = 0
        # Per group, the requests of each job.
        self._lines: OrderedDict[Hashable, OrderedDict[Job, deque[Running]]] = OrderedDict()
        # Requests whose prefix is being looked up or computed, and those whose own tokens run.
        self.opening: list[Running] = []
        self.live: list[Running] = []
        self.waiting = 0

    @property
    def idle(self) -> bool:
        return not (self._lines or self.opening or self.live)

    def add(self, running: Running) -> None:
        """Append a request to its group's line."""
        self._lines.setdefault(running.group, OrderedDict()).setdefault(running.job, deque()).append(running)
        self.waiting += 1

    def admit(self) -> None:
        """Start waiting requests, one of each line by turns, as long as there is a place for the next one."""
        passed_over = 0
        while self._lines and passed_over < len(self._lines):
            group, line = next(iter(self._lines.items()))
            # A job at its own limit does not hold up the others of its domain.
            job = next((job for job in line if job.limit is None or job.live < job.limit), None)
            if job is None:
                self._lines.move_to_end(group)
                passed_over += 1
                continue
            running = line[job][0]
            if not self._fits(running):
                # The next line waits too. Otherwise a large request would wait for as long as small ones come.
                return
            passed_over = 0
            self._lines.move_to_end(group)
            self._take(group, job, [running])
            job.live += 1
            self._reserved += running.reserved
            self.opening.append(running)

    def _fits(self, running: Running) -> bool:
        number = len(self.opening) + len(self.live)
        if not number:
            return True
        return number < self._limits.rows and self._reserved + running.reserved <= self._blocks

    def _take(self, group: Hashable, job: Job, taken: Collection[Running]) -> None:
        """Take requests out of a line."""
        line = self._lines[group]
        if len(taken) == len(line[job]):
            del line[job]
        else:
            for running in taken:
                line[job].remove(running)
        self.waiting -= len(taken)
        if not line:
            del self._lines[group]

    def opened(self, running: Running) -> None:
        """The prompt of a request can run now."""
        self.opening.remove(running)
        self.live.append(running)

    def leave(self, running: Running) -> None:
        """A request that was admitted has ended."""
        (self.live if running in self.live else self.opening).remove(running)
        running.job.live -= 1
        self._reserved -= running.reserved

    def waiting_jobs(self) -> set[Job]:
        """The jobs with waiting requests."""
        return {job for line in self._lines.values() for job in line}

    def remove_waiting(self, job: Job) -> list[Running]:
        """Take all waiting requests of a job out of their lines, and return them."""
        removed: list[Running] = []
        for group in [group for group, line in self._lines.items() if job in line]:
            some = list(self._lines[group][job])
            self._take(group, job, some)
            removed += some
        return removed

    def next_step(self) -> tuple[list[Running], list[tuple[Running, int]]]:
        """The rows that decode one token, and slices of prompts: a row and its number of tokens."""
        decoding = [running for running in self.live if running.decoding]
        left = self._limits.slice_tokens if decoding else self._limits.free_slice_tokens
        slices = []
        for running in self.live:
            if left and not running.decoding and running.waiting is not None:
                count = min(left, len(running.waiting))
                slices.append((running, count))
                left -= count
        # Prompts with the same runs side by side, in the order of the first of them.
        order = {running.runs: number for number, (running, _) in reversed(list(enumerate(slices)))}
        return decoding, sorted(slices, key=lambda pair: order[pair[0].runs])
