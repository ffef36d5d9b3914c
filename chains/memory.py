"""The conversation's memory: LangGraph checkpoints in one SQLite database a domain."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata, CheckpointTuple
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver


class ConversationMemory(SqliteSaver):
    """A SQLite checkpointer that serves sync and async callers alike.

    The library's own saver raises on async use, and its async sibling can only be made inside a running loop; this one
    hands async calls to a thread. Only plain data is stored and read back.
    """

    @classmethod
    def open(cls, path: Path) -> ConversationMemory:
        """Open or create the database."""
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, check_same_thread=False)
        return cls(connection, serde=JsonPlusSerializer(allowed_msgpack_modules=None))

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """As `get_tuple`."""
        return await asyncio.to_thread(self.get_tuple, config)

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """As `put`."""
        return await asyncio.to_thread(self.put, config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """As `put_writes`."""
        await asyncio.to_thread(self.put_writes, config, writes, task_id, task_path)

    async def adelete_thread(self, thread_id: str) -> None:
        """As `delete_thread`."""
        await asyncio.to_thread(self.delete_thread, thread_id)

    def threads(self) -> list[str]:
        """Ids of the conversations kept here."""
        with self.cursor(transaction=False) as cursor:
            cursor.execute("SELECT DISTINCT thread_id FROM checkpoints ORDER BY thread_id")
            return [row[0] for row in cursor.fetchall()]


class ThreadLocks:
    """One lock a conversation: two turns at once on one thread id would overwrite each other's memory."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: WeakValueDictionary[str, _Lock] = WeakValueDictionary()

    @contextmanager
    def hold(self, thread_id: str) -> Iterator[None]:
        """Wait for the turn of this caller."""
        # The name keeps the entry alive: a lock that nobody holds on to is forgotten, and the next caller gets another.
        held = self._lock(thread_id)
        with held.lock:
            yield

    @asynccontextmanager
    async def ahold(self, thread_id: str) -> AsyncIterator[None]:
        """Wait for the turn of this caller without blocking the event loop."""
        held = self._lock(thread_id)
        # Waiting in a thread would leave the lock taken for ever if the caller is cancelled meanwhile.
        while not held.lock.acquire(blocking=False):
            await asyncio.sleep(0.01)
        try:
            yield
        finally:
            held.lock.release()

    def _lock(self, thread_id: str) -> _Lock:
        with self._guard:
            return self._locks.setdefault(thread_id, _Lock())


class _Lock:
    def __init__(self) -> None:
        self.lock = threading.Lock()
