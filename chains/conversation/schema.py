"""The tables of the conversations' database, and their upgrades.

LangGraph's saver creates `checkpoints` and `writes`. Here they get what the saver lacks: a table with a row per turn,
checksums, marks of unfinished erasures, and tables for feedback and titles. `PRAGMA user_version` counts the upgrades.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from langgraph.checkpoint.serde.base import SerializerProtocol

from chains.conversation.erasure import OTHER_DATA, add_mark
from chains.conversation.stored import UNREADABLE, config_free, write_state
from chains.conversation.titles import add_table
from chains.errors import MemoryUnavailableError


def upgrade(connection: sqlite3.Connection, serde: SerializerProtocol, path: Path) -> None:
    """Bring a database to the newest version in one transaction.

    Raises:
        MemoryUnavailableError: if a newer version of Softgraft wrote the database.
        sqlite3.Error: if it cannot be read or written.
    """
    with closing(connection.cursor()) as cursor:
        if _version(cursor) == len(_UPGRADES):
            return
        cursor.execute("BEGIN IMMEDIATE")
        try:
            # Another process may have upgraded it meanwhile.
            found = _version(cursor)
            if found > len(_UPGRADES):
                raise MemoryUnavailableError(
                    found=f"the conversations in {path} have the format {found}",
                    expected=f"a format up to {len(_UPGRADES)}",
                    next_step="use the newer version of Softgraft that wrote them",
                )
            for step in _UPGRADES[found:]:
                step(cursor, serde)
            cursor.execute(f"PRAGMA user_version = {len(_UPGRADES)}")
        except BaseException:
            connection.rollback()
            raise
        connection.commit()


def _version(cursor: sqlite3.Cursor) -> int:
    [version] = cursor.execute("PRAGMA user_version").fetchone()
    return int(version)


def _add_turns_and_checksums(cursor: sqlite3.Cursor, serde: SerializerProtocol) -> None:
    """One row per turn, with checksums from here on, and no values of the callers' configs."""
    # The digest stands before the turn, so that reading it does not read the turn.
    cursor.execute(
        "CREATE TABLE turns (thread_id TEXT NOT NULL, checkpoint_ns TEXT NOT NULL, number INTEGER NOT NULL, "
        "digest BLOB NOT NULL, type TEXT NOT NULL, turn BLOB NOT NULL, "
        "PRIMARY KEY (thread_id, checkpoint_ns, number))"
    )
    cursor.execute("CREATE TABLE erasures (mark BLOB PRIMARY KEY)")
    cursor.execute("ALTER TABLE checkpoints ADD COLUMN turn_count INTEGER")
    cursor.execute("ALTER TABLE checkpoints ADD COLUMN digest BLOB")
    # The row that was stored last is the newest: row ids do not depend on the clock, checkpoint ids do.
    cursor.execute("SELECT thread_id, checkpoint_ns, MAX(rowid) FROM checkpoints GROUP BY 1, 2 ORDER BY 3")
    conversations = cursor.fetchall()
    for thread_id, namespace, row_id in conversations:
        cursor.execute(
            "SELECT parent_checkpoint_id, type, checkpoint, metadata FROM checkpoints WHERE rowid = ?", (row_id,)
        )
        parent_id, type_, blob, described = cursor.fetchone()
        try:
            metadata = config_free(json.loads(described) if described else {})
            checkpoint = serde.loads_typed((type_, blob))
            checkpoint["channel_values"], checkpoint["id"]
        except UNREADABLE:
            # It is reported as damaged when it is read.
            cursor.execute("UPDATE checkpoints SET metadata = '{}' WHERE rowid = ?", (row_id,))
            continue
        write_state(cursor, serde, (thread_id, namespace), checkpoint, parent_id, metadata)
    if conversations:
        add_mark(cursor, OTHER_DATA)


def _add_feedback(cursor: sqlite3.Cursor, serde: SerializerProtocol) -> None:
    """Tables for ratings of turns, and for preferences between two systems. `softgraft.feedback` fills them."""
    cursor.execute(
        "CREATE TABLE feedback (thread_id TEXT NOT NULL, turn INTEGER NOT NULL, digest BLOB NOT NULL, "
        "entry BLOB NOT NULL, PRIMARY KEY (thread_id, turn))"
    )
    cursor.execute("CREATE TABLE preferences (name TEXT PRIMARY KEY, digest BLOB NOT NULL, entry BLOB NOT NULL)")


def _add_titles(cursor: sqlite3.Cursor, serde: SerializerProtocol) -> None:
    """A title per conversation."""
    add_table(cursor)


_UPGRADES: tuple[Callable[[sqlite3.Cursor, SerializerProtocol], None], ...] = (
    _add_turns_and_checksums,
    _add_feedback,
    _add_titles,
)
