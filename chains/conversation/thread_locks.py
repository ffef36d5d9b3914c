"""Locks that allow one turn at a time per conversation, across threads, tasks and processes."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from weakref import WeakValueDictionary

from filelock import FileLock, Timeout

from chains.errors import MemoryUnavailableError

# Number of empty lock files, shared by all conversations. One file per conversation would accumulate, and removing a
# file while another process waits for it would let two processes in.
_FILES = 4096
_POLL_SECONDS = 0.01


class ThreadLocks:
    """One lock per conversation: two turns at once on one thread id would overwrite each other's state.

    Within a process it is a lock in memory, which wakes waiting threads; between processes it is a file lock, which the
    operating system releases when a process dies.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._guard = threading.Lock()
        self._locks: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()

    @contextmanager
    def hold(self, thread_id: str) -> Iterator[None]:
        with self._lock(thread_id):
            file = self._file(thread_id)
            self._acquire(file, wait=True)
            try:
                yield
            finally:
                file.release()

    @asynccontextmanager
    async def ahold(self, thread_id: str) -> AsyncIterator[None]:
        lock = self._lock(thread_id)
        # A thread that waits for the lock would keep it forever if the caller is cancelled meanwhile.
        while not lock.acquire(blocking=False):
            await asyncio.sleep(_POLL_SECONDS)
        try:
            file = self._file(thread_id)
            while not self._acquire(file, wait=False):
                await asyncio.sleep(_POLL_SECONDS)
            try:
                yield
            finally:
                file.release()
        finally:
            lock.release()

    def _lock(self, thread_id: str) -> threading.Lock:
        with self._guard:
            return self._locks.setdefault(thread_id, threading.Lock())

    def _file(self, thread_id: str) -> FileLock:
        number = int.from_bytes(hashlib.sha256(thread_id.encode()).digest()[:4], "big") % _FILES
        # An async turn may end on another thread than it started on.
        return FileLock(self._folder / f"{number:03x}.lock", thread_local=False)

    def _acquire(self, file: FileLock, *, wait: bool) -> bool:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            file.acquire(blocking=wait, poll_interval=_POLL_SECONDS)
        except Timeout:
            return False
        except OSError as error:
            raise MemoryUnavailableError(
                found=f"the lock files of the conversations in {self._folder} cannot be written: {error.strerror}",
                expected="a folder that this user may write to",
                next_step=f"give this user the right to write to {self._folder.parent}",
            ) from error
        return True
