"""Locks that allow one turn at a time per conversation, across threads, tasks and processes."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from weakref import WeakValueDictionary

from filelock import FileLock, Timeout

from chains.conversation import waiting
from chains.errors import MemoryUnavailableError
from soft_prompt.private_files import close_to_others, private_folder

# Number of empty lock files, shared by all conversations. One file per conversation would accumulate, and removing a
# file while another process waits for it would let two processes in.
_FILES = 4096
_POLL_SECONDS = 0.01


class ThreadLocks:
    """One lock per conversation: two turns at once on one thread id would overwrite each other's state.

    Within a process it is a lock in memory, which wakes waiting threads; between processes it is a file lock, which the
    operating system releases when a process dies. A caller waits at most `waiting.WAIT_SECONDS` from its call or, if
    that is later, from the last turn that began in this process; then it raises MemoryUnavailableError.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._guard = threading.Lock()
        self._locks: WeakValueDictionary[str, _TurnLock] = WeakValueDictionary()

    @contextmanager
    def hold(self, thread_id: str) -> Iterator[None]:
        lock, called = self._lock(thread_id), time.monotonic()
        while not lock.acquire(timeout=max(0.0, lock.deadline(called) - time.monotonic())):
            self._require_time(thread_id, lock, called)
        try:
            file = self._file(thread_id)
            if not self._acquire(file, wait=max(0.0, lock.deadline(called) - time.monotonic())):
                raise self._held(thread_id)
            try:
                lock.began = time.monotonic()
                yield
            finally:
                file.release()
        finally:
            lock.release()

    @asynccontextmanager
    async def ahold(self, thread_id: str) -> AsyncIterator[None]:
        lock, called = self._lock(thread_id), time.monotonic()
        # A thread that waits for the lock would keep it forever if the caller is cancelled meanwhile.
        while not lock.acquire(timeout=0.0):
            self._require_time(thread_id, lock, called)
            await asyncio.sleep(_POLL_SECONDS)
        try:
            file = self._file(thread_id)
            while not self._acquire(file, wait=0.0):
                self._require_time(thread_id, lock, called)
                await asyncio.sleep(_POLL_SECONDS)
            try:
                lock.began = time.monotonic()
                yield
            finally:
                file.release()
        finally:
            lock.release()

    def _lock(self, thread_id: str) -> _TurnLock:
        with self._guard:
            return self._locks.setdefault(thread_id, _TurnLock())

    def _path(self, thread_id: str) -> Path:
        number = int.from_bytes(hashlib.sha256(thread_id.encode()).digest()[:4], "big") % _FILES
        return self._folder / f"{number:03x}.lock"

    def _file(self, thread_id: str) -> FileLock:
        # An async turn may end on another thread than it started on.
        return FileLock(self._path(thread_id), thread_local=False, mode=0o600)

    def _acquire(self, file: FileLock, *, wait: float) -> bool:
        try:
            private_folder(self._folder)
            close_to_others(Path(file.lock_file))
            file.acquire(timeout=wait, poll_interval=_POLL_SECONDS)
        except Timeout:
            return False
        except OSError as error:
            raise MemoryUnavailableError(
                found=f"the lock files of the conversations in {self._folder} cannot be written: {error.strerror}",
                expected="a folder that this user may write to",
                next_step=f"give this user the right to write to {self._folder.parent}",
            ) from error
        return True

    def _require_time(self, thread_id: str, lock: _TurnLock, called: float) -> None:
        if time.monotonic() >= lock.deadline(called):
            raise self._held(thread_id)

    def _held(self, thread_id: str) -> MemoryUnavailableError:
        expected = f"the turn before to end within {waiting.WAIT_SECONDS:g} seconds"
        holder = waiting.holder_of(self._path(thread_id))
        if holder is None:
            return MemoryUnavailableError(
                found=f"the conversation {thread_id!r} is held by another question of this process, or by a program "
                "that the operating system does not name",
                expected=expected,
                next_step="ask again when that question is answered; close streams that are not read to their end",
            )
        pid, description = holder
        return MemoryUnavailableError(
            found=f"the conversation {thread_id!r} is held by {description}",
            expected=expected,
            next_step=f"wait for it, continue it (kill -CONT {pid}) or end it (kill {pid}), then ask again; "
            "no stored turn is lost",
        )


class _TurnLock:
    """A lock that knows when the last turn began that held it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.began = 0.0

    def acquire(self, *, timeout: float) -> bool:
        return self._lock.acquire(timeout=timeout)

    def release(self) -> None:
        self._lock.release()

    def deadline(self, called: float) -> float:
        return max(called, self.began) + waiting.WAIT_SECONDS
