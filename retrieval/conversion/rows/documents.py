"""The document of a row, and what the user should know about how its file was read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

from retrieval.conversion.columns import likely_meant
from retrieval.conversion.converted import SourceRow, one_line
from retrieval.conversion.rows.header import number_of
from retrieval.conversion.rows.naming import (
    KNOWN,
    OWN_METADATA,
    id_column,
    id_text,
    is_telling_id,
    shortened_title,
    text_column,
    title_column,
)
from retrieval.conversion.rows.values import (
    fields_of,
    is_empty,
    is_vector,
    lines_of,
    long_text,
    metadata_value,
    value_text,
)
from retrieval.errors import ConversionError

_SHOWN = 5
_MAX_NAMES = 20
# Characters. Every passage of a row has its metadata; longer values are nothing to filter by.
_MAX_VALUE = 500
_MAX_METADATA = 8000
# Objects of these names are metadata already, such as those of LangChain's documents.
_METADATA_NAMES = ("metadata", "meta")


class UnreadableRowError(Exception):
    """A row that no document can be made of."""


class EmptyRowError(Exception):
    """A row without anything to read."""


@dataclass
class RowReader:
    """Makes a document of each row of a file, and keeps what it guessed or left out for `notes`.

    Attributes:
        as_text: whether other columns than the text are lines of the text as well. Without a text, they always are.
        numeric: columns whose texts are numbers in the metadata.
        empty: the rows that were left out, with the reason.
    """

    file: PurePosixPath
    as_text: bool
    numeric: Set[str] = frozenset()
    empty: list[str] = field(default_factory=list)
    _seen: dict[str, dict[str, None]] = field(default_factory=dict)
    _ids: set[str] = field(default_factory=set)
    _remarks: list[str] = field(default_factory=list)

    @cached_property
    def _stem(self) -> str:
        return str(self.file.with_suffix(""))

    def read(self, values: Mapping[str, Any], number: int, raw: bytes) -> SourceRow:
        """The document of a row with these columns. Raises EmptyRowError or UnreadableRowError."""
        known, others = self._roles(values)
        id_ = self._id(known, number)
        group = value_text(known["group"]) if not is_empty(known.get("group")) else id_
        fields = [*fields_of(others)]
        own = known.get("text")
        has_text = not is_empty(own)
        if has_text:
            lines = lines_of(fields) if self.as_text else ""
            text = "\n\n".join(part for part in (long_text(own), lines) if part)
        else:
            self._see("lines", others)
            text = lines_of(fields) or lines_of([("title", known["title"])] if not is_empty(known.get("title")) else [])
        if not text.strip():
            raise EmptyRowError("'text' is empty" if "text" in known else f"there is nothing but {' and '.join(known)}")
        if has_text and not self.as_text:
            self._see("kept", others)
        metadata = self._metadata(fields)
        return SourceRow(id_, self._title(known, fields, id_, text), text, group, raw, metadata)

    def leave_out(self, line: int, why: str) -> None:
        """Keep that a row was left out."""
        self.empty.append(f"line {line}: {why}")
        self.remark(line, f"{why}; the row was left out")

    def remark(self, line: int, text: str) -> None:
        """Keep what is the matter with a line that was read, or left out, in spite of it."""
        self._remarks.append(f"line {line}: {text}")

    def notes(self) -> list[str]:
        """What was guessed, ignored and left out, for the user."""
        notes = [f"the column {name!r} was read as the text" for name in self._seen.get("text", ())]
        notes += [f"the column {name!r} was read as the id" for name in self._seen.get("id", ())]
        lines, kept = self._seen.get("lines", {}), list(self._seen.get("kept", ()))
        if lines and not self.as_text:
            notes.append("rows without a column 'text' were read as lines of the form \"name: value\"")
        notes += self._misspelt({**lines, **(self._seen.get("columns", {}) if self.as_text else {})})
        dropped = {*self._seen.get("long", ()), *self._seen.get("reserved", ())}
        if kept := [name for name in kept if name not in dropped]:
            notes.append(f"kept as metadata and not as text: {_listed(map(self._suggested, kept))}")
        if vectors := self._seen.get("vectors"):
            notes.append(f"left out as lists of numbers: {_listed(vectors)}")
        if long := self._seen.get("long"):
            notes.append(f"too long for the metadata: {_listed(long)}")
        if reserved := self._seen.get("reserved"):
            notes.append(f"not in the metadata, which has such names already: {_listed(reserved)}")
        if titles := self._seen.get("title"):
            notes.append(f"there is no title, so it is that of the column {_listed(map(repr, titles), ' or ')}")
        if self._seen.get("beginning"):
            notes.append("there is no title, so it is the beginning of the text")
        more = len(self._remarks) - _SHOWN
        return [*notes, *self._remarks[:_SHOWN], *([f"and {more} more lines like these"] if more > 0 else [])]

    def _roles(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The columns with a meaning, and the others. The names of the first are in lower case."""
        known: dict[str, Any] = {}
        others: dict[str, Any] = {}
        for name, value in values.items():
            if (plain := name.strip().casefold()) in KNOWN and plain not in known:
                known[plain] = value
                self._see("known", [plain])
            elif is_vector(value):
                self._see("vectors", [name])
            else:
                others[name] = value
        self._see("columns", others)
        for role, column in (("text", text_column), ("id", id_column)):
            if is_empty(known.get(role)) and (found := column(others)) is not None:
                known[role] = others.pop(found)
                self._see(role, [found])
        return known, others

    def _id(self, known: Mapping[str, Any], number: int) -> str:
        generated = f"{self._stem}#{number}"
        id_ = id_text(known.get("id"))
        if id_ is None:
            raise UnreadableRowError(f"'id': {value_text(known['id'])} is neither text nor a number")
        if not self._seen.get("id"):
            return id_ or generated
        # A guessed id need not be one: several rows of a document may have it.
        if id_ in self._ids:
            return generated
        self._ids.add(id_)
        return id_ or generated

    def _title(self, known: Mapping[str, Any], fields: list[tuple[str, Any]], id_: str, text: str) -> str:
        if title := value_text(known["title"]) if not is_empty(known.get("title")) else "":
            return title
        if (named := title_column(fields)) is not None:
            self._see("title", [named])
            return shortened_title(one_line(dict(fields)[named]))
        if is_telling_id(known.get("id")):
            return id_
        self._see("beginning", ["text"])
        return shortened_title(text)

    def _metadata(self, fields: Iterable[tuple[str, Any]]) -> dict[str, Any]:
        metadata: dict[str, Any] = {}
        room = _MAX_METADATA
        for name, value in fields:
            outer, _, inner = name.partition(".")
            key = inner if inner and outer.casefold() in _METADATA_NAMES else name
            if key.casefold() in OWN_METADATA:
                self._see("reserved", [key])
            elif key not in metadata:
                item = number_of(value) if name in self.numeric else metadata_value(value)
                size = len(key) + (len(item) if isinstance(item, str) else len(str(item)))
                if size > _MAX_VALUE or size > room:
                    self._see("long", [name])
                else:
                    metadata[key.replace("\0", "")] = item
                    room -= size
        return metadata

    def _see(self, what: str, names: Iterable[str]) -> None:
        seen = self._seen.setdefault(what, {})
        for name in names:
            seen.setdefault(name)

    def _misspelt(self, names: Iterable[str]) -> list[str]:
        return [
            f"the column {name!r} became text; did you mean {meant!r}?"
            for name in names
            if (meant := self._meant(name))
        ]

    def _suggested(self, name: str) -> str:
        meant = self._meant(name)
        return f"{name} (did you mean {meant}?)" if meant else name

    def _meant(self, name: str) -> str | None:
        return likely_meant(name, [one for one in KNOWN if one not in self._seen.get("known", {})])


def _listed(names: Iterable[str], separator: str = ", ") -> str:
    """The names; of many, the first ones and how many more there are."""
    listed = list(names)
    more = len(listed) - _MAX_NAMES
    return separator.join(listed[:_MAX_NAMES]) + (f" and {more} more" if more > 0 else "")


def refuse_empty(found: Sequence[SourceRow], reader: RowReader, name: str) -> None:
    """Raises ConversionError if a file has rows and nothing to read in any of them."""
    if reader.empty and not found:
        more = len(reader.empty) - _SHOWN
        shown = "; ".join(reader.empty[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")
        raise ConversionError(
            found=f"{name}, {shown}",
            expected="rows with a text, or with other columns that make one up",
            next_step=f"fill in the rows of {name}, or delete it",
        )
