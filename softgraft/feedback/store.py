"""Ratings and corrections in the database of the conversations, one row per turn.

A row has a checksum over its key and content. It is written in a transaction that has read the turn, so that no rating
outlives its turn, and it is deleted with its conversation. A second rating of a turn replaces the first.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, get_args

from chains import Conversations, InputError, UnknownThreadError
from chains.conversation import erasure
from chains.conversation.conversations import TurnRecord, checked_id
from chains.conversation.stored import StoredConversation, read_conversation, row_digest
from softgraft.feedback.entry import MAX_CORRECTION, EvidenceSpan, Feedback, Rating

# Turns before the rated one that are stored with it, if the turn does not say how many the model read.
_HISTORY_TURNS = 3


class HasConversations(Protocol):
    """What a rating needs of a domain; a `Domain` has it."""

    @property
    def conversations(self) -> Conversations: ...


@dataclass(frozen=True, slots=True)
class StoredFeedback:
    """All feedback of a domain: the intact entries, the last change last, and the names of damaged ones."""

    entries: tuple[Feedback, ...]
    damaged: tuple[str, ...]


def record(
    domain: HasConversations, thread_id: str, turn: int, rating: Rating, correction: str | None = None
) -> Feedback:
    """Store a rating of an answer in place of an earlier one.

    An earlier correction is removed unless it is passed again.

    Args:
        domain: an open domain.
        thread_id: of the conversation.
        turn: number of the turn, from 1.
        rating: `up` or `down`.
        correction: what the answer should have been, at most 8000 characters; None if nothing is corrected.

    Raises:
        InputError: if the rating, the number or the correction is not as described.
        UnknownThreadError: if there is no such conversation or turn.
        MemoryDamagedError: if the turn or the database is damaged.
        MemoryUnavailableError: if the database is locked, full or cannot be written.
    """
    thread_id = str(thread_id)
    _check(turn, rating)
    text = checked_correction(correction)
    conversations = domain.conversations
    # Raises UnknownThreadError, and does not create a database.
    conversations.turn_count(thread_id)
    memory = conversations.memory
    with memory.cursor() as cursor:
        stored = read_conversation(cursor, memory.serde, (thread_id, ""), max_turns=turn)
        records = _turns_up_to(conversations, thread_id, turn, stored)
        before = _row(cursor, thread_id, turn)
        entry = _entry(thread_id, turn, records, rating, text, before.accepted if before else "")
        _write(cursor, entry)
        replaced = before is not None and bool(before.correction)
        if replaced:
            erasure.add_mark(cursor, erasure.OTHER_DATA)
    if replaced:
        # History is not kept. If another program reads the file now, the next opening overwrites the text.
        memory.overwrite_deleted()
    return entry


def withdraw(domain: HasConversations, thread_id: str, turn: int) -> bool:
    """Delete the rating of a turn, with its correction; False if there is none.

    Raises:
        InputError: if the number is not one from 1.
        MemoryDamagedError: if the database is damaged.
        MemoryUnavailableError: if the database is locked, full or cannot be written.
    """
    _check(turn, "up")
    conversations = domain.conversations
    if not conversations.path.is_file():
        return False
    memory = conversations.memory
    with memory.cursor() as cursor:
        cursor.execute("DELETE FROM feedback WHERE thread_id = ? AND turn = ?", (checked_id(str(thread_id)), turn))
        deleted = cursor.rowcount > 0
        if deleted:
            erasure.add_mark(cursor, erasure.OTHER_DATA)
    if deleted:
        memory.overwrite_deleted()
    return deleted


def read_feedback(domain: HasConversations) -> StoredFeedback:
    """All feedback of a domain; damaged rows are named and leave the others readable.

    Raises:
        MemoryDamagedError: if the database cannot be read.
        MemoryUnavailableError: if it is locked or cannot be opened.
    """
    conversations = domain.conversations
    if not conversations.path.is_file():
        return StoredFeedback((), ())
    with conversations.memory.cursor(transaction=False) as cursor:
        cursor.execute("SELECT thread_id, turn, digest, entry FROM feedback ORDER BY rowid")
        rows = cursor.fetchall()
    found, damaged = [], []
    for thread, turn, digest, content in rows:
        entry = _intact(thread, turn, digest, content)
        if entry is None:
            damaged.append(f"the feedback on turn {turn} of {thread!r}")
        else:
            found.append(entry)
    return StoredFeedback(tuple(found), tuple(damaged))


def entries(domain: HasConversations) -> list[Feedback]:
    """The intact feedback of a domain, the last change last; see `read_feedback` for what is damaged."""
    return list(read_feedback(domain).entries)


def entry_of(domain: HasConversations, thread_id: str, turn: int) -> Feedback | None:
    """The feedback on one turn; None if there is none, or if it is damaged."""
    conversations = domain.conversations
    if not conversations.path.is_file():
        return None
    with conversations.memory.cursor(transaction=False) as cursor:
        return _row(cursor, checked_id(str(thread_id)), turn)


def mark_accepted(domain: HasConversations, entry: Feedback) -> None:
    """Store that an entry is in train.jsonl, unless it was deleted meanwhile."""
    with domain.conversations.memory.cursor() as cursor:
        current = _row(cursor, entry.thread, entry.turn)
        if current is not None:
            content, digest = _content(current.model_copy(update={"accepted": now()}))
            # In place: the order of the entries is that of people's changes.
            cursor.execute(
                "UPDATE feedback SET digest = ?, entry = ? WHERE thread_id = ? AND turn = ?",
                (digest, content, entry.thread, entry.turn),
            )


def checked_correction(correction: str | None) -> str:
    """The correction without white space around it; "" for None. Raises InputError if it cannot be stored."""
    if correction is None:
        return ""
    text = correction.strip()
    problem = None
    if not text:
        problem = "an empty correction"
    elif len(text) > MAX_CORRECTION:
        problem = f"a correction of {len(text):,} characters"
    elif any("\ud800" <= character <= "\udfff" for character in text):
        problem = "a correction with a lone surrogate, which no file can store"
    if problem:
        raise InputError(
            found=problem,
            expected=f"the right answer in 1 to {MAX_CORRECTION:,} characters of valid Unicode, or no correction",
            next_step="shorten it to what the answer should have been, or leave it out",
        )
    return text


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _check(turn: object, rating: object) -> None:
    if rating not in get_args(Rating):
        raise InputError(
            found=f"the rating {rating!r}", expected="`up` or `down`", next_step="send one of the two as the rating"
        )
    if not isinstance(turn, int) or isinstance(turn, bool) or not 1 <= turn < 2**63:
        raise InputError(
            found=f"the turn {turn!r}",
            expected="the number of a turn, counted from 1",
            next_step="run: softgraft threads show DOMAIN THREAD",
        )


def _turns_up_to(
    conversations: Conversations, thread_id: str, turn: int, stored: StoredConversation | None
) -> list[TurnRecord]:
    """The turns that can be read up to this one, which is the last of them."""
    if stored is None or turn > max(stored.count, *stored.turns, 0):
        count = stored.count if stored else 0
        raise UnknownThreadError(
            found=f"no turn {turn} in the conversation {thread_id!r}, which has {count}",
            expected=f"a number from 1 to {count}" if count else "a conversation that was not deleted meanwhile",
            next_step="run: softgraft threads show DOMAIN THREAD",
        )
    if turn not in stored.turns:
        raise conversations.memory.damaged_conversation(thread_id, stored)
    return [stored.turns[number] for number in sorted(stored.turns) if number <= turn]


def _entry(
    thread: str, turn: int, records: list[TurnRecord], rating: Rating, correction: str, accepted: str
) -> Feedback:
    rated: Any = records[-1]
    read = rated.get("history", {}).get("read", _HISTORY_TURNS)
    earlier = records[:-1][-read:] if read else []
    cited = [_span(citation, citation["quote"]) for citation in rated["citations"]]
    return Feedback(
        thread=thread,
        turn=turn,
        at=now(),
        rating=rating,
        correction=correction,
        question=rated["question"],
        query=rated.get("query", ""),
        answer=rated["answer"],
        history=tuple((one["question"], one["answer"]) for one in earlier),
        evidence=(*dict.fromkeys(cited), *(_span(passage) for passage in rated.get("passages", []))),
        refused=rated.get("refused", False),
        form=rated.get("form", ""),
        answered_by=rated.get("answered_by", {}),
        accepted=accepted,
    )


def _span(record: dict[str, Any], quote: str = "") -> EvidenceSpan:
    return EvidenceSpan(doc_id=record["doc_id"], start=record["start"], end=record["end"], quote=quote)


def _write(cursor: sqlite3.Cursor, entry: Feedback) -> None:
    content, digest = _content(entry)
    # A replaced row gets the largest row id, which is the order of `read_feedback`.
    cursor.execute(
        "INSERT OR REPLACE INTO feedback (thread_id, turn, digest, entry) VALUES (?, ?, ?, ?)",
        (entry.thread, entry.turn, digest, content),
    )


def _content(entry: Feedback) -> tuple[bytes, bytes]:
    """The content of a row, and its checksum."""
    content = entry.model_dump_json().encode()
    return content, row_digest(entry.thread, entry.turn, content)


def _row(cursor: sqlite3.Cursor, thread: str, turn: int) -> Feedback | None:
    cursor.execute("SELECT digest, entry FROM feedback WHERE thread_id = ? AND turn = ?", (thread, turn))
    found = cursor.fetchone()
    return None if found is None else _intact(thread, turn, *found)


def _intact(thread: Any, turn: Any, digest: Any, content: Any) -> Feedback | None:
    """The entry of a row; None if its checksum is wrong."""
    if not isinstance(content, bytes) or digest != row_digest(thread, turn, content):
        return None
    try:
        return Feedback.model_validate_json(content)
    except ValueError:
        return None
