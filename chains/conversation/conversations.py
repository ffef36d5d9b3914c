"""The stored conversations of a domain: list, read, rename and delete them."""

from __future__ import annotations

import shlex
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, TypedDict

from chains.conversation.memory import ConversationMemory
from chains.conversation.stored import StoredConversation
from chains.conversation.thread_locks import ThreadLocks
from chains.conversation.titles import checked_title
from chains.errors import InputError, UnknownThreadError

# Maximum number of ids that an error lists.
_LISTED_IDS = 5


class TurnRecord(TypedDict):
    """One stored turn: a question and its answer, complete at the time `at` in UTC.

    `query` is what was searched for, `passages` are the spans of the passages found (`doc_id`, `start`, `end`), and
    `answered_by` names what answered: see `Answering.answered_by`.

    `history` describes what the model read: the number of earlier turns (`exchanges`), of those that it `read`
    verbatim, of those covered by a summary (`summarised`), and of `tokens`. `supported` is None if the question was
    refused. Older conversations lack all but `question`, `answer` and `citations`.
    """

    question: str
    query: str
    answer: str
    citations: list[dict[str, Any]]
    passages: list[dict[str, str | int]]
    refused: bool
    supported: bool | None
    notices: list[str]
    template: dict[str, str | int]
    form: str
    answered_by: dict[str, str]
    history: dict[str, int]
    at: str


@dataclass(frozen=True, slots=True)
class ThreadSummary:
    """One conversation, with its number of turns.

    Attributes:
        first: the first question; empty if it is damaged.
        updated: time of the last turn (ISO 8601 in UTC); empty if it is damaged.
        damaged: whether the first turn, the state or the title is damaged; `Conversations.transcript` checks all turns.
        title: as given by `Conversations.rename`; empty if none was.
    """

    thread: str
    turns: int
    first: str
    updated: str
    damaged: bool = False
    title: str = ""


class Conversations:
    """The conversations in one database, created with the first turn. It needs no model.

    Every method raises MemoryDamagedError if the database cannot be read, MemoryUnavailableError if it is locked, or
    cannot be opened or written, and InputError if an id is not valid Unicode.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._memory: ConversationMemory | None = None
        self._open_lock = Lock()
        self._locks = ThreadLocks(path.with_suffix(".locks"))

    @property
    def memory(self) -> ConversationMemory:
        """The checkpointer; creates the database if it does not exist."""
        with self._open_lock:
            if self._memory is None:
                self._memory = ConversationMemory.open(self.path)
            return self._memory

    def close(self) -> None:
        """Close the database; the next use opens it again."""
        with self._open_lock:
            if self._memory is not None:
                self._memory.conn.close()
            self._memory = None

    @contextmanager
    def turn(self, thread_id: str) -> Iterator[None]:
        """Lock a conversation: in this context, no other thread or process adds to it or deletes it."""
        with self._locks.hold(checked_id(thread_id)):
            yield

    @asynccontextmanager
    async def aturn(self, thread_id: str) -> AsyncIterator[None]:
        async with self._locks.ahold(checked_id(thread_id)):
            yield

    def threads(self) -> list[ThreadSummary]:
        """All conversations, most recently updated first."""
        summaries = []
        titles = self._titles()
        for thread in self._ids():
            stored = self.memory.read(thread, max_turns=1)
            if stored is None:
                # An id that is damaged itself, so that it cannot be found by it.
                summaries.append(ThreadSummary(thread, 0, "", "", damaged=True))
            elif stored.count or stored.damaged:
                first = stored.turns[1]["question"] if 1 in stored.turns else ""
                updated = stored.checkpoint["ts"] if stored.checkpoint else ""
                title = titles.get(thread, "")
                damaged = bool(stored.damaged) or title is None
                summaries.append(ThreadSummary(thread, stored.count, first, updated, damaged, title or ""))
        return summaries

    def history(self, thread_id: str) -> list[TurnRecord]:
        """The turns of one conversation; empty if the id is unknown.

        Raises MemoryDamagedError if a turn is damaged; `transcript` has the others.
        """
        stored = self._stored(thread_id)
        if stored is not None and stored.damaged:
            raise self.memory.damaged_conversation(thread_id, stored)
        return [] if stored is None else list(stored.turns.values())

    def transcript(self, thread_id: str) -> dict[str, Any]:
        """What can be read of one conversation, as plain data.

        Its keys are `thread`, `title` (empty if it has none), `updated`, `summary` (of its first turns, or None),
        `damaged` (what cannot be read, such as "turn 2"; empty as a rule) and `turns`: the intact ones, each with its
        `number`, counted from 1.
        """
        stored = self._stored(thread_id)
        if stored is None or not (stored.turns or stored.damaged):
            raise self._unknown_thread(thread_id)
        summary = stored.checkpoint["channel_values"].get("summary") if stored.checkpoint else None
        title = self._titles().get(thread_id, "")
        return {
            "thread": thread_id,
            "title": title or "",
            "updated": stored.checkpoint["ts"] if stored.checkpoint else None,
            "summary": summary["text"] if summary else None,
            "damaged": [*stored.damaged, *(["the title"] if title is None else [])],
            "turns": [{"number": number, **turn} for number, turn in stored.turns.items()],
        }

    def turn_count(self, thread_id: str) -> int:
        """Number of turns of a conversation; 0 for a deleted one whose text is still in the file.

        Raises UnknownThreadError if the id is unknown.
        """
        stored = self._stored(thread_id)
        if stored is None and thread_id not in self._ids() and not self._awaits_erasure(thread_id):
            raise self._unknown_thread(thread_id)
        return 0 if stored is None else stored.count

    def rename(self, thread_id: str, title: str) -> str:
        """Give a conversation a title, or take it away with a blank one. Its id stays; returns the title as stored.

        Raises:
            UnknownThreadError: if the id is unknown.
            InputError: if the title is too long or not valid Unicode.
        """
        title = checked_title(title)
        if not self.path.is_file() or not self.memory.set_title(checked_id(thread_id), title):
            raise self._unknown_thread(thread_id)
        return title

    def delete(self, thread_id: str) -> None:
        """Delete one conversation, after the turn in progress, if any.

        Raises:
            UnknownThreadError: if the id is unknown.
            ErasureIncompleteError: if it is deleted, but its text is still in a file. Another call tries again.
        """
        self.turn_count(thread_id)
        with self.turn(thread_id):
            self.memory.delete_thread(thread_id)

    def _ids(self) -> list[str]:
        return list(self.memory.threads()) if self.path.is_file() else []

    def _titles(self) -> dict[str, str | None]:
        return self.memory.titles() if self.path.is_file() else {}

    def _awaits_erasure(self, thread_id: str) -> bool:
        return self.path.is_file() and self.memory.awaits_erasure(thread_id)

    def _stored(self, thread_id: str) -> StoredConversation | None:
        return self.memory.read(checked_id(thread_id)) if self.path.is_file() else None

    def _unknown_thread(self, thread_id: str) -> UnknownThreadError:
        known = self._ids()
        more = f" and {len(known) - _LISTED_IDS} more" if len(known) > _LISTED_IDS else ""
        return UnknownThreadError(
            found=f"no conversation {thread_id!r} in {self.path}",
            expected=f"one of {', '.join(map(repr, known[:_LISTED_IDS]))}{more}" if known else "an existing id",
            next_step="run: softgraft threads list DOMAIN"
            if known
            else f'start one: softgraft ask DOMAIN "..." --thread {shlex.quote(thread_id)}',
        )


def checked_id(thread_id: str) -> str:
    """The id itself. Raises InputError if it has surrogates, which no file can store."""
    try:
        thread_id.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            found=f"the thread id {thread_id!r}",
            expected="valid Unicode, without lone surrogates",
            next_step="choose another id",
        ) from error
    return thread_id
