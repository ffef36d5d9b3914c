"""Memory of conversations: LangGraph checkpoints in one SQLite database per domain."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata, CheckpointTuple
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.serde.types import INTERRUPT
from langgraph.checkpoint.sqlite import SqliteSaver

from chains.errors import ChainError, InputError, MemoryDamagedError, MemoryUnavailableError

# Maximum wait for another process that writes to the database.
_LOCK_TIMEOUT_SECONDS = 30.0
_BUSY = ("SQLITE_BUSY", "SQLITE_LOCKED")
_UNWRITABLE = ("SQLITE_CANTOPEN", "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_PERM", "SQLITE_READONLY")


class ConversationMemory(SqliteSaver):
    """A SQLite checkpointer of complete turns, for sync and async callers.

    LangGraph's `SqliteSaver` rejects async calls, and `AsyncSqliteSaver` needs a running event loop when it is created;
    this class runs async calls in a thread. It stores and loads only plain data.

    A checkpoint holds the whole conversation, so only the newest one per thread is stored. A checkpoint that is not
    `complete`, because the caller stopped or the model failed, is not stored: the conversation stays unchanged. A graph
    with human interrupts needs `SqliteSaver`.
    """

    # The path of an in-memory database; `open` sets that of a file.
    path: Path = Path(":memory:")

    @classmethod
    def open(cls, path: Path) -> ConversationMemory:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(path, timeout=_LOCK_TIMEOUT_SECONDS, check_same_thread=False)
            # Overwrite deleted content.
            connection.execute("PRAGMA secure_delete = ON")
        except (OSError, sqlite3.Error) as error:
            raise MemoryUnavailableError(
                found=f"the conversations in {path} cannot be opened: {error}",
                expected="a database file that this user may read and write",
                next_step=f"give this user the right to write to {path.parent}",
            ) from error
        memory = cls(connection, serde=JsonPlusSerializer(allowed_msgpack_modules=None))
        memory.path = path
        return memory

    @contextmanager
    def cursor(self, transaction: bool = True) -> Iterator[sqlite3.Cursor]:
        try:
            with super().cursor(transaction) as cursor:
                yield cursor
        except sqlite3.Error as error:
            raise self._to_chain_error(error) from error

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        try:
            return super().get_tuple(config)
        except (ValueError, TypeError, KeyError, NotImplementedError) as error:
            raise self._damaged(f"the conversation {config['configurable'].get('thread_id')!r} in", error) from error

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a complete turn, and delete the checkpoints before it."""
        if checkpoint["channel_values"].get("complete") is False:
            keys = {name: config["configurable"][name] for name in ("thread_id", "checkpoint_ns")}
            return {"configurable": {**keys, "checkpoint_id": checkpoint["id"]}}
        saved = super().put(config, checkpoint, metadata, new_versions)
        key = saved["configurable"]
        newest = (str(key["thread_id"]), key["checkpoint_ns"], key["checkpoint_id"])
        with self.cursor() as cursor:
            for table in ("checkpoints", "writes"):
                cursor.execute(
                    f"DELETE FROM {table} WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id < ?", newest
                )
        return saved

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Store nothing: writes of an incomplete run are discarded."""
        if any(channel == INTERRUPT for channel, _ in writes):
            raise InputError(
                found="a graph with an interrupt, with the domain's memory as its checkpointer",
                expected="a graph without interrupts",
                next_step="give the graph its own checkpointer: langgraph.checkpoint.sqlite.SqliteSaver",
            )

    def delete_thread(self, thread_id: str) -> None:
        """Delete a conversation; its text is overwritten in the file."""
        super().delete_thread(thread_id)
        with self.cursor(transaction=False) as cursor:
            # The write-ahead log would keep the text until later writes overwrite it.
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return await asyncio.to_thread(self.get_tuple, config)

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        return await asyncio.to_thread(self.put, config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        self.put_writes(config, writes, task_id, task_path)

    async def adelete_thread(self, thread_id: str) -> None:
        await asyncio.to_thread(self.delete_thread, thread_id)

    def threads(self) -> list[str]:
        """Ids of the stored conversations, most recently updated first."""
        with self.cursor(transaction=False) as cursor:
            cursor.execute("SELECT thread_id FROM checkpoints GROUP BY thread_id ORDER BY MAX(checkpoint_id) DESC")
            return [row[0] for row in cursor.fetchall()]

    def _to_chain_error(self, error: sqlite3.Error) -> ChainError:
        name = getattr(error, "sqlite_errorname", None) or ""
        if name.startswith(_BUSY):
            return MemoryUnavailableError(
                found=f"the conversations in {self.path} are locked by another program",
                expected=f"write access within {_LOCK_TIMEOUT_SECONDS:.0f} seconds",
                next_step="close the program that has the file open, then ask again; no stored turn is lost",
            )
        if name.startswith(_UNWRITABLE):
            return MemoryUnavailableError(
                found=f"the conversations in {self.path} cannot be read or written: {error}",
                expected="a database file that this user may write to, on a disk with free space",
                next_step="fix the cause, then ask again; no stored turn is lost",
            )
        return self._damaged("the conversations in", error)

    def _damaged(self, subject: str, error: Exception) -> MemoryDamagedError:
        return MemoryDamagedError(
            found=f"{subject} {self.path} cannot be read: {error}",
            expected="an intact database of conversations; the file was not changed",
            next_step=f"restore a backup, or start a new database: mv {self.path} {self.path}.damaged",
        )
