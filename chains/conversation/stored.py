"""The rows of a conversation: one per turn and one for the rest of its state, each with a checksum.

A checksum covers the row's key as well, so that a row that was moved or renamed is damaged too. The state's row has the
number of turns, so that a missing turn is found. A damaged row leaves the others readable.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langgraph.checkpoint.base import Checkpoint, CheckpointMetadata
from langgraph.checkpoint.serde.base import SerializerProtocol

# The channel whose values are stored one per row.
TURNS = "turns"
_MSGPACK = "msgpack"
# What LangGraph needs of a checkpoint's metadata. The rest comes from the caller's config and may contain secrets.
_METADATA_KEYS = ("source", "step", "parents", "counters_since_delta_snapshot")
_SOURCES = ("input", "loop", "update", "fork")
# What reading a row raises whose content is damaged.
UNREADABLE = (ValueError, TypeError, KeyError, IndexError, NotImplementedError, AttributeError)


@dataclass(frozen=True, slots=True)
class StoredConversation:
    """What can be read of a conversation.

    Attributes:
        checkpoint: the state with its intact turns; None if the row of the state is damaged or missing.
        turns: the intact turns by their numbers, counted from 1.
        count: the number of turns that were stored; of those that are left, if the state is damaged.
        damaged: what is damaged, such as "turn 2".
    """

    checkpoint_id: str
    parent_id: str | None
    checkpoint: Checkpoint | None
    metadata: CheckpointMetadata
    turns: Mapping[int, Any]
    count: int
    damaged: tuple[str, ...] = field(default=())


def config_free(metadata: Mapping[str, Any]) -> CheckpointMetadata:
    """Metadata without what LangGraph copied from the caller's config."""
    kept = {name: metadata[name] for name in _METADATA_KEYS if name in metadata}
    if kept.get("source") not in _SOURCES:
        kept.pop("source", None)
    return kept  # type: ignore[return-value]


def write_state(
    cursor: sqlite3.Cursor,
    serde: SerializerProtocol,
    key: tuple[str, str],
    checkpoint: Checkpoint,
    parent_id: str | None,
    metadata: Mapping[str, Any],
) -> None:
    """Replace what is stored under a key (thread id and namespace); of the turns, only those that differ."""
    values = checkpoint["channel_values"]
    turns = values.get(TURNS)
    count = None
    if isinstance(turns, list):
        count = len(turns)
        _write_turns(cursor, serde, key, turns)
        checkpoint = {**checkpoint, "channel_values": {name: values[name] for name in values if name != TURNS}}
    type_, blob = serde.dumps_typed(checkpoint)
    described = json.dumps(config_free(metadata)).encode()
    digest = _digest_of(*key, checkpoint["id"], parent_id, type_, blob, described, count).digest()
    for table in ("checkpoints", "writes"):
        cursor.execute(f"DELETE FROM {table} WHERE thread_id = ? AND checkpoint_ns = ?", key)
    # The new row has the largest row id of the table, which is the order of `newest_first`.
    cursor.execute(
        "INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, "
        "metadata, turn_count, digest) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (*key, checkpoint["id"], parent_id, type_, blob, described, count, digest),
    )


def _write_turns(cursor: sqlite3.Cursor, serde: SerializerProtocol, key: tuple[str, str], turns: Sequence[Any]) -> None:
    cursor.execute("SELECT number, digest FROM turns WHERE thread_id = ? AND checkpoint_ns = ?", key)
    stored, start = dict(cursor.fetchall()), _digest_of(*key)
    for number, turn in enumerate(turns, 1):
        type_, blob = serde.dumps_typed(turn)
        digest = _turn_digest(start, number, type_, blob)
        if stored.get(number) != digest:
            cursor.execute(
                "INSERT OR REPLACE INTO turns (thread_id, checkpoint_ns, number, digest, type, turn) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (*key, number, digest, type_, blob),
            )
    cursor.execute("DELETE FROM turns WHERE thread_id = ? AND checkpoint_ns = ? AND number > ?", (*key, len(turns)))


def read_conversation(
    cursor: sqlite3.Cursor, serde: SerializerProtocol, key: tuple[str, str], *, max_turns: int | None = None
) -> StoredConversation | None:
    """What is stored under a key (thread id and namespace); None if nothing is.

    Args:
        cursor: in a transaction, so that the state and the turns belong together.
        serde: of the rows.
        key: thread id and namespace.
        max_turns: read no more than the first turns.
    """
    cursor.execute(
        "SELECT checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata, turn_count, digest FROM checkpoints "
        "WHERE thread_id = ? AND checkpoint_ns = ? ORDER BY rowid DESC LIMIT 1",
        key,
    )
    row = cursor.fetchone()
    cursor.execute(
        "SELECT number, digest, type, turn FROM turns "
        "WHERE thread_id = ? AND checkpoint_ns = ? ORDER BY number LIMIT ?",
        (*key, -1 if max_turns is None else max_turns),
    )
    rows = cursor.fetchall()
    if row is None and not rows:
        return None
    turns, damaged = _intact_turns(serde, key, rows)
    if row is None:
        return StoredConversation("", None, None, {}, turns, _count(cursor, key), ("the state", *damaged))
    *columns, digest = row
    checkpoint_id, parent_id, type_, blob, described, count = columns
    try:
        if digest is not None and digest != _digest_of(*key, *columns).digest():
            raise ValueError("wrong checksum")
        checkpoint: Checkpoint = serde.loads_typed((type_, blob))
        metadata = config_free(json.loads(described) if described else {})
        values = checkpoint["channel_values"]
        if digest is None and isinstance(values.get(TURNS), list):
            # A row of an earlier version has the turns in it and no checksum.
            turns = dict(enumerate(values[TURNS], 1))
            count = len(turns)
    except UNREADABLE:
        count = _count(cursor, key)
        return StoredConversation(checkpoint_id, None, None, {}, turns, count, ("the state", *damaged))
    damaged = []
    if count is not None:
        expected = range(1, (count if max_turns is None else min(count, max_turns)) + 1)
        damaged = [f"turn {number}" for number in expected if number not in turns]
        turns = {number: turns[number] for number in expected if number in turns}
        checkpoint = {**checkpoint, "channel_values": {**values, TURNS: list(turns.values())}}
    return StoredConversation(checkpoint_id, parent_id, checkpoint, metadata, turns, count or 0, tuple(damaged))


def _count(cursor: sqlite3.Cursor, key: tuple[str, str]) -> int:
    cursor.execute("SELECT COUNT(*) FROM turns WHERE thread_id = ? AND checkpoint_ns = ?", key)
    return int(cursor.fetchone()[0])


def _intact_turns(
    serde: SerializerProtocol, key: tuple[str, str], rows: Sequence[tuple[Any, ...]]
) -> tuple[dict[int, Any], list[str]]:
    """The turns whose checksum is right, by their numbers, and the names of the others."""
    start = _digest_of(*key)
    intact, damaged = [], []
    for number, digest, type_, blob in rows:
        try:
            is_intact = digest == _turn_digest(start, number, type_, blob)
        except UNREADABLE:
            is_intact = False
        if is_intact:
            intact.append((number, type_, blob))
        else:
            damaged.append(f"turn {number}")
    if all(type_ == _MSGPACK for _, type_, _ in intact):
        # One call for all: an array in msgpack is its length and its values one after another.
        header = b"\xdd" + len(intact).to_bytes(4, "big")
        values = serde.loads_typed((_MSGPACK, header + b"".join(blob for _, _, blob in intact)))
    else:
        values = [serde.loads_typed((type_, blob)) for _, type_, blob in intact]
    return {number: value for (number, _, _), value in zip(intact, values, strict=True)}, damaged


def newest_first(cursor: sqlite3.Cursor) -> list[str]:
    """The ids of all conversations, the last one that was written first, and those at the end whose state is lost."""
    cursor.execute("SELECT thread_id FROM checkpoints GROUP BY thread_id ORDER BY MAX(rowid) DESC")
    ids = [row[0] for row in cursor.fetchall()]
    cursor.execute("SELECT DISTINCT thread_id FROM turns")
    return [*ids, *sorted({row[0] for row in cursor.fetchall()} - set(ids))]


def delete_rows(cursor: sqlite3.Cursor, thread_id: str) -> int:
    """Delete all rows of a conversation, with its title and the feedback on its turns; returns their number."""
    deleted = 0
    for table in ("checkpoints", "turns", "writes", "feedback", "titles"):
        # Compared here and not in SQL, since a damaged id is shown with replacement characters.
        found = cursor.execute(f"SELECT rowid, thread_id FROM {table}").fetchall()
        rows = [(row_id,) for row_id, name in found if name == thread_id]
        cursor.executemany(f"DELETE FROM {table} WHERE rowid = ?", rows)
        deleted += len(rows)
    return deleted


def row_digest(*fields: str | bytes | int | None) -> bytes:
    """The checksum of a row with these fields."""
    return _digest_of(*fields).digest()


def _digest_of(*fields: str | bytes | int | None) -> hashlib.blake2b:
    """BLAKE2b of the fields, each with its kind and length before it."""
    digest = hashlib.blake2b(digest_size=16)
    for value in fields:
        data = value if isinstance(value, bytes) else str(value).encode()
        digest.update(b"%b%d:%b" % (type(value).__name__.encode(), len(data), data))
    return digest


def _turn_digest(start: hashlib.blake2b, number: int, type_: str, blob: bytes) -> bytes:
    """The checksum of a turn; `start` is that of the thread id and the namespace."""
    digest = start.copy()
    digest.update(b"%d:%b:%b" % (number, type_.encode(), blob))
    return digest.digest()
