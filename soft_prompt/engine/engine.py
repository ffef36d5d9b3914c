"""The engine of a backbone: runs all its requests together, token by token.

While there is one caller, its own thread runs the steps. While there are several, a thread of the engine does, which
starts with the second caller and ends when nothing is left to run.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import torch
from torch import Tensor

from soft_prompt.engine.engine_model import EngineModel
from soft_prompt.engine.request import Job, Request
from soft_prompt.engine.run_table import RunTable
from soft_prompt.engine.running import Running
from soft_prompt.engine.scheduler import Limits, Scheduler
from soft_prompt.errors import BackboneError, QueueFullError
from soft_prompt.grammar.constraint import Constraint, Matcher
from soft_prompt.model.backbone import Backbone
from soft_prompt.replies.sampling import is_greedy, next_tokens
from soft_prompt.rows.batch import require_batch_size

_log = logging.getLogger(__name__)
_engines: MutableMapping[Any, dict[bool, _Slot]] = WeakKeyDictionary()
_engines_lock = threading.Lock()
_all_engines: WeakSet[Engine] = WeakSet()
# A step takes less, except on a machine that has no memory left.
_STOP_SECONDS = 20.0


@atexit.register
def _stop_all() -> None:
    """End the threads before the interpreter does, which would stop them in the middle of PyTorch's code."""
    for engine in list(_all_engines):
        engine.stop()


def _forget_all() -> None:
    """A forked process has no threads, and its locks may be held by nobody. It makes engines of its own."""
    global _engines, _engines_lock, _all_engines
    _engines, _engines_lock, _all_engines = WeakKeyDictionary(), threading.Lock(), WeakSet()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


def engine_of(backbone: Backbone, *, int8: bool = False) -> Engine:
    """The engine of a backbone, which is made once and lives as long as the backbone's model."""
    with _engines_lock:
        slot = _engines.setdefault(backbone.model, {}).setdefault(int8, _Slot())
    # Kernels are compiled and weights packed meanwhile, for which other backbones do not wait.
    with slot.lock:
        if slot.engine is None:
            slot.engine = Engine(backbone, int8=int8)
        return slot.engine


@dataclass(eq=False, slots=True)
class _Slot:
    """An engine, or the place for one that is being made."""

    engine: Engine | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class Engine:
    """Runs requests for one backbone in a batch that changes at every token.

    Args:
        backbone: shares its weights with the engine.
        int8: read the weights as int8 where few rows run.
        limits: see `Limits`.
        native: whether to use the compiled kernels, if there are some; None uses them for all but toy models.
    """

    def __init__(
        self, backbone: Backbone, *, int8: bool = False, limits: Limits | None = None, native: bool | None = None
    ) -> None:
        self.limits = limits or Limits()
        self._model = EngineModel(backbone, int8=int8, native=native)
        self._scheduler = Scheduler(self.limits, self._model.pool.block_bytes)
        self._table = RunTable()
        # Held while a step runs.
        self._stepping = threading.Lock()
        # For the requests, the jobs and the thread below. May be taken while a step runs, not the other way round.
        self._lock = threading.Lock()
        self._new: deque[Running] = deque()
        self._jobs: set[Job] = set()
        self._thread: threading.Thread | None = None
        self._stopped = False
        self.steps = 0
        _all_engines.add(self)

    @property
    def waiting(self) -> int:
        """Number of requests that have not started."""
        return len(self._new) + self._scheduler.waiting

    @property
    def running(self) -> int:
        """Number of requests that have started."""
        return len(self._scheduler.live) + len(self._scheduler.opening)

    @property
    def used_bytes(self) -> int:
        """Memory of the running requests' own keys and values."""
        return self._model.pool.used_blocks * self._model.pool.block_bytes

    def submit(
        self,
        requests: Sequence[Request],
        *,
        limit: int | None = None,
        cancelled: Callable[[], bool] | None = None,
        may_refuse: bool = False,
        background: bool = False,
    ) -> Job:
        """Let requests run, together and with those of other callers.

        Args:
            requests: of this engine's backbone.
            limit: maximum number of them that run at a time; None for the engine's limit alone.
            cancelled: checked before each step; True ends the requests without replies.
            may_refuse: refuse them if too many requests wait already (`Limits.waiting`).
            background: run them even while nobody iterates the job.

        Raises:
            ContextError: if a prompt and its reply are longer than the backbone's context.
            ConstraintError: if a row's constraint is invalid.
            QueueFullError: if they are refused.
            SoftPromptError: if `limit` is below 1.
            BackboneError: if a `kv` soft prompt is not in the first soft slot, or the process is about to end.
        """
        if limit is not None:
            require_batch_size(limit)
        # Each different constraint is checked now, and its matcher is used by the first row that has it.
        matchers = _matchers(requests)
        job = Job(self, len(requests), limit, cancelled)
        all_running = [
            Running(job, index, request, matchers.pop(request.row.constraint, None))
            for index, request in enumerate(requests)
        ]
        if not all_running:
            job.end_one()
            return job
        with self._lock:
            if self._stopped:
                raise _stopped()
            if may_refuse and self.waiting + len(requests) > self.limits.waiting:
                raise QueueFullError(
                    found=f"{self.waiting} requests that wait for the backbone",
                    expected=f"at most {self.limits.waiting}",
                    next_step="try again later",
                )
            self._new.extend(all_running)
            self._jobs.add(job)
            if background or len(self._jobs) > 1:
                self._start()
        return job

    def stop(self) -> None:
        """End after the step that runs. What runs or waits ends with an error, and nothing new is taken."""
        with self._lock:
            self._stopped = True
            thread = self._thread
        if self._stepping.acquire(timeout=_STOP_SECONDS):
            try:
                self._take_new()
                for job in list(self._jobs):
                    job.fail(_stopped())
                    self._end_job(job)
                self._model.rest()
            finally:
                self._stepping.release()
        if thread is not None and thread is not threading.current_thread():
            thread.join(_STOP_SECONDS)

    # For jobs.

    def drive(self, job: Job) -> bool:
        """Run a step in the caller's thread. False if the engine's thread runs the steps."""
        with self._lock:
            if self._stopped or self._alive or self._jobs != {job}:
                if self._jobs and not self._stopped:
                    self._start()
                return False
        with self._stepping:
            self._advance()
        return True

    def drop_cancelled(self) -> None:
        """End the requests of cancelled jobs, if no thread is about to."""
        with self._lock:
            if self._alive or self._stopped:
                return
        with self._stepping:
            self._take_new()
            self._end_cancelled()
            if self._scheduler.idle:
                self._model.rest()

    def closed(self, job: Job) -> None:
        """A job has ended."""
        self._jobs.discard(job)

    @property
    def _alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _start(self) -> None:
        """Start the thread, if it does not run. Called with the lock held."""
        if not self._alive:
            self._thread = threading.Thread(target=self._run, name="softgraft-engine", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            with self._stepping:
                self._advance()
                with self._lock:
                    if self._stopped or (self._scheduler.idle and not self._new):
                        # A request that comes now finds no thread and starts one.
                        self._thread = None
                        return

    def _take_new(self) -> None:
        with self._lock:
            while self._new:
                self._scheduler.add(self._new.popleft())

    def _advance(self) -> None:
        """Run a step. Whatever goes wrong ends the jobs that it concerns."""
        self._take_new()
        try:
            self._end_cancelled()
            self._step()
        except Exception as error:  # noqa: BLE001 raised where the replies are awaited
            self._fail(error)
        if self._scheduler.idle:
            self._model.rest()

    def _end_cancelled(self) -> None:
        scheduler = self._scheduler
        jobs = scheduler.waiting_jobs() | {running.job for running in (*scheduler.opening, *scheduler.live)}
        for job in jobs:
            if job.was_cancelled():
                self._end_job(job)

    def _end_job(self, job: Job) -> None:
        """End the requests of a job that have no reply."""
        scheduler = self._scheduler
        for _ in scheduler.remove_waiting(job):
            job.end_one()
        for running in [one for one in (*scheduler.opening, *scheduler.live) if one.job is job]:
            self._end(running)
            job.end_one()

    def _step(self) -> None:
        scheduler, pool = self._scheduler, self._model.pool
        scheduler.admit()
        self._open()
        decoding, slices = scheduler.next_step()
        if not decoding and not slices:
            return
        rows = [*decoding, *(running for running, _ in slices)]
        inputs = [running.next_input(pool, 1) for running in decoding]
        inputs += [running.next_input(pool, count) for running, count in slices]
        logits = self._model.forward(inputs, len(decoding))
        self.steps += 1
        for running, row_input in zip(rows, inputs, strict=True):
            running.advance(row_input.tokens.new)
        finished = [running for running, row_input in zip(rows, inputs, strict=True) if row_input.wants_logits]
        likeliest = self._model.argmax(logits) if finished else []
        for running, row_logits, token in zip(finished, logits, likeliest, strict=True):
            try:
                delta = running.add_token(self._choose(running, row_logits, token))
            except Exception as error:  # noqa: BLE001 raised where the reply is awaited
                running.job.fail(error)
                continue
            if delta.reply is not None:
                self._end(running)
            if delta.text or delta.reply is not None:
                running.job.deliver(delta)

    def _open(self) -> None:
        """Prepare prompts. Computing prefixes is bounded per step like the prompts themselves."""
        left = self.limits.slice_tokens if self._scheduler.live else self.limits.free_slice_tokens
        for running in list(self._scheduler.opening):
            store = running.request.store
            while left > 0 and not running.job.was_cancelled():
                before = store.computed_tokens
                try:
                    ready = running.open(self._table)
                except Exception as error:  # noqa: BLE001 raised where the reply is awaited
                    running.job.fail(error)
                    break
                left -= store.computed_tokens - before
                if ready:
                    self._scheduler.opened(running)
                    break

    def _end(self, running: Running) -> None:
        """Give a request's place and memory to others."""
        self._scheduler.leave(running)
        try:
            running.remember(self._model.pool)
        except Exception as error:  # noqa: BLE001 the reply is complete without it
            _log.warning("a conversation is not remembered for its next turn: %s", error)
        finally:
            running.release(self._model.pool)

    def _fail(self, error: Exception) -> None:
        """A step failed. End what runs, or if nothing does, what waits."""
        scheduler = self._scheduler
        jobs = {running.job for running in (*scheduler.live, *scheduler.opening)} or scheduler.waiting_jobs()
        for number, job in enumerate(jobs):
            # Each job raises an error of its own, since an exception has one traceback.
            own = error if number == 0 else BackboneError(
                found=f"an error in a batch of several requests: {error}",
                expected="a forward pass that succeeds",
                next_step="try again, or ask fewer questions at a time",
            )  # fmt: skip
            job.fail(own)
            self._end_job(job)

    def _choose(self, running: Running, logits: Tensor, likeliest: int) -> int:
        """The next token of a row. `logits`: `[vocabulary]`, of which `likeliest` is the largest."""
        decoding, matcher = running.request.decoding, running.matcher
        if matcher is not None:
            allowed = matcher.allowed_tokens(logits.shape[-1]).to(logits.device)
            logits = logits.masked_fill(~allowed, -torch.inf)
            likeliest = int(logits.argmax())
        if is_greedy(decoding):
            return likeliest
        return int(next_tokens(logits[None], decoding, [running.generator]))


def _matchers(requests: Sequence[Request]) -> dict[Constraint | None, Matcher]:
    """A matcher for each different constraint."""
    found: dict[Constraint | None, Matcher] = {}
    for request in requests:
        constraint = request.row.constraint
        if constraint is not None and constraint not in found:
            found[constraint] = constraint.matcher(request.store.backbone)
    return found


def _stopped() -> BackboneError:
    return BackboneError(
        found="a request while the process ends", expected="a running process", next_step="start it again"
    )
