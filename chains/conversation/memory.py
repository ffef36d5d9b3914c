"""Memory of conversations: LangGraph checkpoints in one SQLite database per domain."""

from __future__ import annotations

import asyncio
import shlex
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata, CheckpointTuple
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.serde.types import INTERRUPT
from langgraph.checkpoint.sqlite import SqliteSaver

from chains.conversation import erasure, waiting
from chains.conversation.schema import upgrade
from chains.conversation.stored import StoredConversation, delete_rows, newest_first, read_conversation, write_state
from chains.conversation.titles import read_titles, write_title
from chains.errors import ChainError, InputError, MemoryDamagedError, MemoryUnavailableError
from soft_prompt.private_files import close_to_others, private_file, private_folder

_BUSY = ("SQLITE_BUSY", "SQLITE_LOCKED")
_UNWRITABLE = ("SQLITE_CANTOPEN", "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_PERM", "SQLITE_READONLY")


class ConversationMemory(SqliteSaver):
    """A SQLite checkpointer of complete turns, for sync and async callers.

    LangGraph's `SqliteSaver` rejects async calls, and `AsyncSqliteSaver` needs a running event loop when it is created;
    this class runs async calls in a thread. It stores and loads only plain data, and nothing of the caller's config but
    the thread id.

    Only the newest checkpoint per thread is stored, in one transaction; it is the one that was stored last, whatever
    the clock says. Each value of the channel `turns` has a row and a checksum of its own, and so has the rest of the
    state. A checkpoint that is not `complete`, because the caller stopped or the model failed, is not stored: the
    conversation stays unchanged. A graph with human interrupts needs `SqliteSaver`.
    """

    # The path of an in-memory database; `open` sets that of a file.
    path: Path = Path(":memory:")

    def __init__(self, conn: sqlite3.Connection, *, serde: SerializerProtocol | None = None) -> None:
        super().__init__(conn, serde=serde)
        # Marks of deleted conversations whose text was overwritten when the database was opened.
        self._erased: set[bytes] = set()

    @classmethod
    def open(cls, path: Path) -> ConversationMemory:
        try:
            private_folder(path.parent)
            # SQLite gives its log the mode of the database.
            private_file(path)
            for suffix in ("-wal", "-shm"):
                close_to_others(path.with_name(path.name + suffix))
            connection = sqlite3.connect(path, timeout=waiting.WAIT_SECONDS, check_same_thread=False)
            # Overwrite deleted content.
            connection.execute("PRAGMA secure_delete = ON")
        except (OSError, sqlite3.Error) as error:
            raise MemoryUnavailableError(
                found=f"the conversations in {path} cannot be opened: {error}",
                expected="a database file that this user may read and write",
                next_step=f"give this user the right to write to {path.parent}",
            ) from error
        # A damaged name must not keep the other conversations from being listed.
        connection.text_factory = _text
        memory = cls(connection, serde=JsonPlusSerializer(allowed_msgpack_modules=None))
        memory.path = path
        return memory

    def setup(self) -> None:
        if self.is_setup:
            return
        super().setup()
        self.is_setup = False
        upgrade(self.conn, self.serde, self.path)
        with closing(self.conn.cursor()) as cursor:
            marks = erasure.marks(cursor)
        if marks and erasure.erase(self.conn, wait_seconds=0):
            self._erased |= marks
        self.is_setup = True

    @contextmanager
    def cursor(self, transaction: bool = True) -> Iterator[sqlite3.Cursor]:
        """A cursor in a transaction, for writing or (`transaction=False`) for reading; an error undoes it."""
        with self._connection(), closing(self.conn.cursor()) as cursor:
            cursor.execute("BEGIN IMMEDIATE" if transaction else "BEGIN")
            try:
                yield cursor
            except BaseException:
                self.conn.rollback()
                raise
            self.conn.commit()

    @contextmanager
    def _connection(self) -> Iterator[None]:
        """The connection for one caller at a time; all of them wait no longer than `waiting.WAIT_SECONDS`."""
        deadline = time.monotonic() + waiting.WAIT_SECONDS
        if not self.lock.acquire(timeout=waiting.WAIT_SECONDS):
            raise self._busy()
        try:
            milliseconds = max(0, int((deadline - time.monotonic()) * 1000))
            self.conn.execute(f"PRAGMA busy_timeout = {milliseconds}")
            self.setup()
            yield
        except (sqlite3.Error, UnicodeDecodeError) as error:
            # A message of SQLite that quotes a damaged name is not valid UTF-8.
            raise self._to_chain_error(error) from error
        finally:
            self.lock.release()

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The stored state of a thread. Raises MemoryDamagedError if a part of it is damaged."""
        configurable = config["configurable"]
        thread_id, namespace = str(configurable["thread_id"]), configurable.get("checkpoint_ns", "")
        stored = self.read(thread_id, namespace)
        if stored is None:
            return None
        if stored.damaged or stored.checkpoint is None:
            raise self.damaged_conversation(thread_id, stored)
        if configurable.get("checkpoint_id") not in (None, stored.checkpoint_id):
            return None
        key = {"thread_id": thread_id, "checkpoint_ns": namespace}
        parent = {"configurable": {**key, "checkpoint_id": stored.parent_id}} if stored.parent_id else None
        return CheckpointTuple(
            {"configurable": {**key, "checkpoint_id": stored.checkpoint_id}},
            stored.checkpoint,
            stored.metadata,
            parent,  # type: ignore[arg-type]
            [],
        )

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """The stored state of one thread or, without a config, of all, newest first.

        Raises:
            InputError: for `before`, since earlier states are not stored.
            MemoryDamagedError: if a state is damaged.
        """
        if before is not None:
            raise InputError(
                found="a search for states before a checkpoint",
                expected="no `before`: a conversation stores its newest state and no earlier ones",
                next_step="leave `before` out",
            )
        given = (config or {}).get("configurable", {})
        ids = self.threads() if given.get("thread_id") is None else [str(given["thread_id"])]
        found = 0
        for thread_id in ids:
            state = self.get_tuple({"configurable": {**given, "thread_id": thread_id}})
            if state is None or any(state.metadata.get(name) != value for name, value in (filter or {}).items()):
                continue
            if limit is not None and found >= limit:
                return
            found += 1
            yield state

    def read(self, thread_id: str, namespace: str = "", *, max_turns: int | None = None) -> StoredConversation | None:
        """What can be read of a thread, even if a part of it is damaged; None if nothing is stored."""
        with self.cursor(transaction=False) as cursor:
            return read_conversation(cursor, self.serde, (thread_id, namespace), max_turns=max_turns)

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a complete turn in place of the state before it."""
        configurable = config["configurable"]
        key = (str(configurable["thread_id"]), configurable["checkpoint_ns"])
        if checkpoint["channel_values"].get("complete") is not False:
            with self.cursor() as cursor:
                write_state(cursor, self.serde, key, checkpoint, configurable.get("checkpoint_id"), metadata)
        saved = {"thread_id": configurable["thread_id"], "checkpoint_ns": key[1], "checkpoint_id": checkpoint["id"]}
        return {"configurable": saved}

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
        """Delete a conversation and overwrite its text in the file and its log.

        Raises:
            ErasureIncompleteError: if the conversation is deleted, but another program keeps its text in a file. A
                second call, or the next opening of the database, tries again.
        """
        thread_id = str(thread_id)
        mark = erasure.thread_mark(thread_id)
        with self.cursor() as cursor:
            if delete_rows(cursor, thread_id):
                erasure.add_mark(cursor, mark)
            elif mark not in erasure.marks(cursor):
                self._erased.discard(mark)
                return
        with self._connection():
            erased = erasure.erase(self.conn, wait_seconds=erasure.WAIT_SECONDS)
        if not erased:
            raise erasure.incomplete(self.path, thread_id)

    def overwrite_deleted(self) -> bool:
        """Overwrite the text of deleted rows in the file and its log. False if another program is using the database.

        The caller has stored a mark with the deletion (`erasure.add_mark`), so the next opening tries again.
        """
        with self._connection():
            return erasure.erase(self.conn, wait_seconds=0)

    def awaits_erasure(self, thread_id: str) -> bool:
        """Whether a conversation was deleted, but its text was still in the file when the database was opened."""
        with self.cursor(transaction=False) as cursor:
            return erasure.thread_mark(thread_id) in erasure.marks(cursor) | self._erased

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return await asyncio.to_thread(self.get_tuple, config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        found = await asyncio.to_thread(lambda: [*self.list(config, filter=filter, before=before, limit=limit)])
        for state in found:
            yield state

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

    def threads(self) -> Sequence[str]:
        """Ids of the stored conversations, most recently updated first."""
        with self.cursor(transaction=False) as cursor:
            return newest_first(cursor)

    def titles(self) -> dict[str, str | None]:
        """The titles of the conversations that have one; None if it is damaged."""
        with self.cursor(transaction=False) as cursor:
            return read_titles(cursor)

    def set_title(self, thread_id: str, title: str) -> bool:
        """Set or, with an empty title, remove the title of a conversation. False if there is no such conversation."""
        with self.cursor() as cursor:
            return write_title(cursor, thread_id, title)

    def damaged_conversation(self, thread_id: str, stored: StoredConversation) -> MemoryDamagedError:
        """The error for a conversation of which a part is damaged."""
        name = shlex.quote(thread_id)
        return MemoryDamagedError(
            found=f"{' and '.join(stored.damaged)} of the conversation {thread_id!r} in {self.path}: "
            "the content differs from its checksum, or is missing",
            expected="the content that was stored; nothing was changed",
            next_step="restore a backup, or save what is intact and begin anew: "
            f"softgraft threads export DOMAIN {name} --output FILE, then softgraft threads delete DOMAIN {name} --yes",
        )

    def _to_chain_error(self, error: sqlite3.Error | UnicodeDecodeError) -> ChainError:
        name = getattr(error, "sqlite_errorname", None) or ""
        if name.startswith(_BUSY):
            return self._busy()
        if name.startswith(_UNWRITABLE):
            return MemoryUnavailableError(
                found=f"the conversations in {self.path} cannot be read or written: {error}",
                expected="a database file that this user may write to, on a disk with free space",
                next_step="fix the cause, then ask again; no stored turn is lost",
            )
        return self._unreadable(error)

    def _unreadable(self, error: Exception) -> MemoryDamagedError:
        # The latest turns may be in SQLite's log beside the database, which belongs with it.
        beside = (self.path.with_name(f"{self.path.name}-{end}") for end in ("wal", "shm"))
        files = [self.path, *(path for path in beside if path.exists())]
        moved = self.path.with_name(f"{self.path.name}.damaged")
        command = f"mkdir {shlex.quote(str(moved))} && mv {shlex.join(map(str, files))} {shlex.quote(str(moved))}"
        return MemoryDamagedError(
            found=f"the conversations in {self.path} cannot be read: {error}",
            expected="an intact database of conversations; the file was not changed",
            next_step=f"restore a backup, or start a new database: {command}",
        )

    def _busy(self) -> MemoryUnavailableError:
        # In WAL mode the locks are on the file of the shared memory.
        holder = waiting.holder_of(self.path.with_name(f"{self.path.name}-shm"), self.path)
        return MemoryUnavailableError(
            found=f"the conversations in {self.path} are locked by {holder[1] if holder else 'another program'}",
            expected=f"write access within {waiting.WAIT_SECONDS:g} seconds",
            next_step="close the program that has the file open, then ask again; no stored turn is lost",
        )


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
