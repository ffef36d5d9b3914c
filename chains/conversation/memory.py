"""The conversation's memory: LangGraph checkpoints in one SQLite database a domain."""

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

# How long a write waits for another process that is writing.
_PATIENCE_SECONDS = 30.0
_BUSY = ("SQLITE_BUSY", "SQLITE_LOCKED")
_UNWRITABLE = ("SQLITE_CANTOPEN", "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_PERM", "SQLITE_READONLY")


class ConversationMemory(SqliteSaver):
    """A SQLite checkpointer of whole turns that serves sync and async callers alike.

    The library's own saver raises on async use, and its async sibling can only be made inside a running loop; this one
    hands async calls to a thread. Only plain data is stored and read back.

    A checkpoint holds the whole conversation, so a thread keeps its newest alone. One whose state says that it is not
    `complete`, since its caller went away half-way or the model failed, is not kept at all: the conversation stays as
    it was. A graph that waits for a person needs the library's own saver.
    """

    # Of a database in memory; `open` sets that of a file.
    path: Path = Path(":memory:")

    @classmethod
    def open(cls, path: Path) -> ConversationMemory:
        """Open or create the database.

        Raises:
            MemoryUnavailableError: it cannot be made there.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(path, timeout=_PATIENCE_SECONDS, check_same_thread=False)
            # What a person deletes is overwritten, not only unlinked.
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
        """As the library's.

        Raises:
            MemoryDamagedError: the database, or what stands in it, cannot be read.
            MemoryUnavailableError: it is locked or cannot be written; what it holds is as before.
        """
        try:
            with super().cursor(transaction) as cursor:
                yield cursor
        except sqlite3.Error as error:
            raise self._told(error) from error

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """As the library's.

        Raises:
            MemoryDamagedError: what is kept of the conversation is no whole state.
        """
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
        """Keep a whole turn in place of the checkpoints before it."""
        if checkpoint["channel_values"].get("complete") is False:
            own = config["configurable"]
            place = {"thread_id": own["thread_id"], "checkpoint_ns": own["checkpoint_ns"]}
            return {"configurable": {**place, "checkpoint_id": checkpoint["id"]}}
        saved = super().put(config, checkpoint, metadata, new_versions)
        own = saved["configurable"]
        older = (str(own["thread_id"]), own["checkpoint_ns"], own["checkpoint_id"])
        with self.cursor() as cursor:
            for table in ("checkpoints", "writes"):
                cursor.execute(
                    f"DELETE FROM {table} WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id < ?", older
                )
        return saved

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Nothing is kept of a run that did not come to its end.

        Raises:
            InputError: the run waits for a person.
        """
        if any(channel == INTERRUPT for channel, _ in writes):
            raise InputError(
                found="a graph that waits for a person, with the domain's memory as its checkpointer",
                expected="a graph whose runs come to an end",
                next_step="give it a checkpointer of its own: langgraph.checkpoint.sqlite.SqliteSaver",
            )

    def delete_thread(self, thread_id: str) -> None:
        """Forget a conversation; its text is overwritten in the file."""
        super().delete_thread(thread_id)
        with self.cursor(transaction=False) as cursor:
            # The write-ahead log would keep the text until other writes take its place.
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")

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
        self.put_writes(config, writes, task_id, task_path)

    async def adelete_thread(self, thread_id: str) -> None:
        """As `delete_thread`."""
        await asyncio.to_thread(self.delete_thread, thread_id)

    def threads(self) -> list[str]:
        """Ids of the conversations kept here, the one that was talked in last first."""
        with self.cursor(transaction=False) as cursor:
            cursor.execute("SELECT thread_id FROM checkpoints GROUP BY thread_id ORDER BY MAX(checkpoint_id) DESC")
            return [row[0] for row in cursor.fetchall()]

    def _told(self, error: sqlite3.Error) -> ChainError:
        name = getattr(error, "sqlite_errorname", None) or ""
        if name.startswith(_BUSY):
            return MemoryUnavailableError(
                found=f"the conversations in {self.path} are locked by another program",
                expected=f"to write to them within {_PATIENCE_SECONDS:.0f} seconds",
                next_step="close what has the file open, then ask again; nothing that was kept is lost",
            )
        if name.startswith(_UNWRITABLE):
            return MemoryUnavailableError(
                found=f"the conversations in {self.path} cannot be read or written: {error}",
                expected="a database file that this user may write to, on a disk with room",
                next_step="mend that, then ask again; nothing that was kept is lost",
            )
        return self._damaged("the conversations in", error)

    def _damaged(self, what: str, error: Exception) -> MemoryDamagedError:
        return MemoryDamagedError(
            found=f"{what} {self.path} cannot be read: {error}",
            expected="a database of conversations, whole; the file was left as it is",
            next_step=f"put a copy from before in its place, or begin anew: mv {self.path} {self.path}.damaged",
        )
