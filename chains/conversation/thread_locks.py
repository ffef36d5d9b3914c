"""One turn at a time on one conversation, whoever asks: threads, tasks and other processes."""

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

# Conversations share so many lock files, each of zero bytes: a file a conversation would pile up, and one that is
# removed while another process waits for it lets two in.
_FILES = 4096
_PAUSE = 0.01


class ThreadLocks:
    """One lock a conversation: two turns at once on one thread id would overwrite each other's memory.

    Within a process it is a lock in memory, so that waiting threads are woken; between processes it is a locked file,
    which the operating system frees when a process dies.

    Args:
        folder: where the lock files go; made when the first lock is taken.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._guard = threading.Lock()
        self._locks: WeakValueDictionary[str, _Lock] = WeakValueDictionary()

    @contextmanager
    def hold(self, thread_id: str) -> Iterator[None]:
        """Wait for the turn of this caller.

        Raises:
            MemoryUnavailableError: the lock files cannot be written.
        """
        # The name keeps the entry alive: a lock that nobody holds on to is forgotten, and the next caller gets another.
        held = self._lock(thread_id)
        with held.lock:
            file = self._file(thread_id)
            self._taken(file, wait=True)
            try:
                yield
            finally:
                file.release()

    @asynccontextmanager
    async def ahold(self, thread_id: str) -> AsyncIterator[None]:
        """As `hold`, without blocking the event loop."""
        held = self._lock(thread_id)
        # Waiting in a thread would leave the lock taken for ever if the caller is cancelled meanwhile.
        while not held.lock.acquire(blocking=False):
            await asyncio.sleep(_PAUSE)
        try:
            file = self._file(thread_id)
            while not self._taken(file, wait=False):
                await asyncio.sleep(_PAUSE)
            try:
                yield
            finally:
                file.release()
        finally:
            held.lock.release()

    def _lock(self, thread_id: str) -> _Lock:
        with self._guard:
            return self._locks.setdefault(thread_id, _Lock())

    def _file(self, thread_id: str) -> FileLock:
        number = int.from_bytes(hashlib.sha256(thread_id.encode()).digest()[:4], "big") % _FILES
        # An async turn may end on another thread than it began on.
        return FileLock(self._folder / f"{number:03x}.lock", thread_local=False)

    def _taken(self, file: FileLock, *, wait: bool) -> bool:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            file.acquire(blocking=wait, poll_interval=_PAUSE)
        except Timeout:
            return False
        except OSError as error:
            raise MemoryUnavailableError(
                found=f"the lock files of the conversations in {self._folder} cannot be written: {error.strerror}",
                expected="a folder that this user may write to, since two turns at once would lose one",
                next_step=f"give this user the right to write to {self._folder.parent}",
            ) from error
        return True


class _Lock:
    def __init__(self) -> None:
        self.lock = threading.Lock()
