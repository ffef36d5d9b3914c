"""The engine of a backbone: a thread that runs all its requests together, token by token.

The thread starts with the first request and ends with the last one.
"""

from __future__ import annotations

import atexit
import threading
from collections import deque
from collections.abc import MutableMapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import torch
from torch import Tensor

from soft_prompt.engine.engine_model import EngineModel
from soft_prompt.engine.request import Job, Request
from soft_prompt.engine.run_table import RunTable
from soft_prompt.engine.running import Running
from soft_prompt.engine.scheduler import Limits, Scheduler
from soft_prompt.errors import QueueFullError
from soft_prompt.model.backbone import Backbone
from soft_prompt.replies.sampling import next_tokens

_engines: MutableMapping[Any, dict[bool, Engine]] = WeakKeyDictionary()
_engines_lock = threading.Lock()
_all_engines: WeakSet[Engine] = WeakSet()
# A step takes less, except on a machine that has no memory left.
_STOP_SECONDS = 20.0


@atexit.register
def _stop_all() -> None:
    """End the threads before the interpreter does, which would stop them in the middle of PyTorch's code."""
    for engine in list(_all_engines):
        engine.stop()


def engine_of(backbone: Backbone, *, int8: bool = False) -> Engine:
    """The engine of a backbone, which is made once and lives as long as the backbone's model."""
    with _engines_lock:
        engines = _engines.setdefault(backbone.model, {})
        if int8 not in engines:
            engines[int8] = Engine(backbone, int8=int8)
        return engines[int8]


class Engine:
    """Runs requests for one backbone in a batch that changes at every token.

    Args:
        backbone: shares its weights with the engine.
        int8: read the weights as int8 where few rows run.
        limits: see `Limits`.
        native: whether to use the compiled attention kernel, if there is one; None uses it for all but toy models.
    """

    def __init__(
        self, backbone: Backbone, *, int8: bool = False, limits: Limits | None = None, native: bool | None = None
    ) -> None:
        self.limits = limits or Limits()
        self._model = EngineModel(backbone, int8=int8, native=native)
        self._scheduler = Scheduler(self.limits, self._model.pool.block_bytes)
        self._table = RunTable()
        self._new: deque[Running] = deque()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._in_line = 0
        self._stopping = False
        self.steps = 0
        _all_engines.add(self)

    @property
    def waiting(self) -> int:
        """Number of requests that have not started."""
        return self._in_line

    @property
    def running(self) -> int:
        """Number of requests that have started."""
        return len(self._scheduler.live) + len(self._scheduler.opening)

    @property
    def used_bytes(self) -> int:
        """Memory of the running requests' own keys and values."""
        return self._model.pool.used_blocks * self._model.pool.block_bytes

    def submit(self, requests: Sequence[Request], *, limit: int | None = None, may_refuse: bool = False) -> Job:
        """Let requests run, together and with those of other callers.

        Args:
            requests: of this engine's backbone.
            limit: number of them that run at a time; None for no limit but the engine's.
            may_refuse: refuse them if too many requests wait already.

        Raises:
            ContextError: if a prompt and its reply are longer than the backbone's context.
            ConstraintError: if a row's constraint is invalid.
            QueueFullError: if they are refused.
        """
        if may_refuse and self._in_line + len(requests) > self.limits.waiting:
            raise QueueFullError(
                found=f"{self._in_line} requests that wait for the backbone",
                expected=f"at most {self.limits.waiting}",
                next_step="try again later",
            )
        job = Job(len(requests), limit)
        all_running = [Running(job, index, request) for index, request in enumerate(requests)]
        if not all_running:
            job.finish_empty()
            return job
        with self._lock:
            self._new.extend(all_running)
            self._in_line += len(all_running)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="softgraft-engine", daemon=True)
                self._thread.start()
        return job

    def stop(self) -> None:
        """End the thread after the step that it is in. What runs or waits gets no reply, and nothing new runs."""
        self._stopping = True
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        while True:
            with self._lock:
                while self._new:
                    self._scheduler.add(self._new.popleft())
                if self._scheduler.idle or self._stopping:
                    self._model.rest()
                    # A request that comes now finds no thread and starts one.
                    self._thread = None
                    return
            try:
                self._step()
            except Exception as error:  # noqa: BLE001 raised where the replies are awaited
                self._fail(error)

    def _step(self) -> None:
        scheduler, pool = self._scheduler, self._model.pool
        for running in scheduler.remove_waiting(lambda one: one.cancelled):
            self._in_line -= 1
            running.job.end_one()
        for running in [one for one in (*scheduler.opening, *scheduler.live) if one.cancelled]:
            self._end(running)
            running.job.end_one()
        before = len(scheduler.opening)
        scheduler.admit()
        self._in_line -= len(scheduler.opening) - before
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
        for running, token in zip(finished, self._choose(logits, finished), strict=True):
            try:
                delta = running.add_token(token)
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
            while left > 0:
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
        self._scheduler.leave(running)
        running.remember(self._model.pool)
        running.release(self._model.pool)

    def _fail(self, error: Exception) -> None:
        """End everything that runs. What waits is tried."""
        jobs = {id(running.job): running.job for running in (*self._scheduler.live, *self._scheduler.opening)}
        for running in [*self._scheduler.live, *self._scheduler.opening]:
            self._scheduler.leave(running)
            running.release(self._model.pool)
        self._in_line -= len(self._scheduler.remove_waiting(lambda one: id(one.job) in jobs))
        for job in jobs.values():
            job.fail(error)

    def _choose(self, logits: Tensor, rows: Sequence[Running]) -> list[int]:
        """The next token of each row. `logits`: `[rows, vocabulary]`."""
        constrained = [number for number, row in enumerate(rows) if row.matcher is not None]
        if constrained:
            logits = logits.clone()
            for number in constrained:
                matcher = rows[number].matcher
                assert matcher is not None
                allowed = matcher.allowed_tokens(logits.shape[-1]).to(logits.device)
                logits[number].masked_fill_(~allowed, torch.finfo(logits.dtype).min)
        tokens = self._model.argmax(logits) if rows else []
        for number, row in enumerate(rows):
            decoding = row.request.decoding
            if decoding.temperature > 0:
                [tokens[number]] = next_tokens(logits[number : number + 1], decoding, [row.generator]).tolist()
        return tokens
