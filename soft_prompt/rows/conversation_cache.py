"""Keys and values of the last conversations, for their next turns.

The prefix store holds the keys and values before the soft slot. The next turn of a conversation repeats the history,
question and reply behind it too, as long as the passages do not change. So whole prompts with their replies are kept in
memory, and a prompt reuses the longest prefix that it shares with one of them.

Only decoding reuses them: the keys and values of a reply were computed one token at a time, so they differ in the last
bits from those of one pass over the whole prompt.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from soft_prompt.graft.prompt import SoftPrompt
from soft_prompt.rows.row import Row, RowPart
from soft_prompt.rows.runs import Run, first_positions


@dataclass(frozen=True, eq=False, slots=True)
class _Entry:
    """One prompt and its reply.

    Attributes:
        row: the prompt. It keeps its soft prompts alive, which are compared by identity.
        contents: of the positions that have keys and values: those of the prompt, from `_contents`, and reply tokens.
        reply: all tokens of the reply. The last one has no keys and values, because nothing came after it.
        runs: the keys and values.
    """

    row: Row
    contents: tuple[int, ...]
    reply: tuple[int, ...]
    runs: tuple[Run, ...]

    @property
    def size(self) -> int:
        """Size of the keys and values in bytes, some of which the prefix store may hold too."""
        return sum(run.nbytes for run in self.runs)


@dataclass(frozen=True, eq=False, slots=True)
class ReusedPrefix:
    """The part of a prompt whose keys and values exist already.

    Attributes:
        length: number of positions.
        runs: their keys and values.
        rest: token ids and soft prompts behind the prefix.
    """

    length: int
    runs: tuple[Run, ...]
    rest: tuple[RowPart, ...]


class ConversationCache:
    """The most recently used prompts and replies, of at most `limit_bytes`; 0 keeps nothing."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._entries: list[_Entry] = []
        self._lock = threading.Lock()

    @property
    def used_bytes(self) -> int:
        """Size of all entries in bytes."""
        return sum(entry.size for entry in self._entries)

    def longest_prefix(self, row: Row, longer_than: int) -> ReusedPrefix | None:
        """The longest prefix that a row shares with an entry; None if it has at most `longer_than` positions.

        At least one position remains to run, since its logits give the first token of the reply.
        """
        if _is_trained(row):
            return None
        contents = _contents(row)
        best, length = None, longer_than
        with self._lock:
            for entry in self._entries:
                shared = min(_shared_length(entry, row, contents), len(contents) - 1)
                if shared > length:
                    best, length = entry, shared
            if best is None:
                return None
            self._entries.remove(best)
            self._entries.append(best)
        return ReusedPrefix(length, first_positions(best.runs, length), tuple(_parts_after(row, length)))

    def keeps(self, row: Row) -> bool:
        """Whether `add` would keep a row, if it is not too large."""
        return bool(self.limit_bytes) and not _is_trained(row)

    def add(self, row: Row, reply: Sequence[int], runs: Sequence[Run]) -> None:
        """Add a row and the tokens of its reply, with the keys and values of everything that has run."""
        contents = (*_contents(row), *reply)[: sum(run.length for run in runs)]
        entry = _Entry(row, contents, tuple(reply), tuple(run.compact() for run in runs))
        if not self.keeps(row) or entry.size > self.limit_bytes:
            return
        with self._lock:
            # An entry that is a prefix of this one is no longer needed.
            others = [e for e in self._entries if _shared_length(e, row, contents) < len(e.contents)]
            self._entries = [*others, entry]
            while self.used_bytes > self.limit_bytes:
                del self._entries[0]

    def clear(self) -> None:
        """Drop all entries."""
        with self._lock:
            self._entries = []


def _contents(row: Row) -> tuple[int, ...]:
    """One number per position of a row: a token id, or a negative number that identifies a soft prompt."""
    contents = list(row.prefix)
    for part in row.suffix:
        contents += [-1 - id(part)] * part.length if isinstance(part, SoftPrompt) else part
    return tuple(contents)


def _shared_length(entry: _Entry, row: Row, contents: tuple[int, ...]) -> int:
    """Number of leading positions whose keys and values are the same for a row and an entry."""
    other = entry.row
    if (row.fixed_prefix or other.fixed_prefix) and (
        row.prefix != other.prefix
        or row.cuts != other.cuts
        or row.passages != other.passages
        or row.attention != other.attention
        or row.adapter is not other.adapter
    ):
        # The position of the slot decides where an adapter starts to act, and the cuts what each passage sees.
        return 0
    known = entry.contents
    pairs = enumerate(zip(known, contents, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(known), len(contents)))


def _is_trained(row: Row) -> bool:
    """Whether one of its soft prompts is in training, so that it changes with the next step."""
    parts = [part for part in row.suffix if isinstance(part, SoftPrompt)]
    return any(tensor.requires_grad for part in parts for tensor in part.tensors().values())


def _parts_after(row: Row, skipped: int) -> Iterator[RowPart]:
    """Token ids and soft prompts behind the first `skipped` positions. A soft prompt is never split."""
    for part in (row.prefix, *row.suffix):
        length = part.length if isinstance(part, SoftPrompt) else len(part)
        if skipped < length:
            yield part if isinstance(part, SoftPrompt) else part[skipped:]
        skipped = max(0, skipped - length)
