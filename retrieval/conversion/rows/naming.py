"""What columns mean by their names: the text, the title, the id and the group of a row."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from retrieval.conversion.converted import one_line
from retrieval.conversion.rows.values import is_empty

# The columns with a meaning. All others are the user's.
KNOWN = ("id", "title", "text", "group")
# Passages have metadata of these names themselves.
OWN_METADATA = (*KNOWN, "doc_id", "heading", "page", "start", "end", "score")
# Other names of the text and the id, as data sets, databases and LangChain write them, with spaces between words.
_TEXTS = ("content", "contents", "body", "page content", "passage", "正文", "内容")
_IDS = ("id", "doc id", "docid", "document id", "uid", "uuid", "identifier")
# Names of columns that say what a row is about, the most telling first.
_NAMING = (
    "name", "headline", "heading", "subject", "product", "question", "topic", "term", "article", "service", "item",
    "bezeichnung", "produkt", "frage", "thema", "标题", "题目", "名称", "问题", "产品",
)  # fmt: skip
_NAMING_ENDS = ("name", "title")
# Such columns name a person or a file rather than what the row is about, or say nothing about it.
_TELLING_NOTHING = {
    "created", "date", "email", "file name", "filename", "first name", "hash", "href", "lang", "language", "last name",
    "link", "locale", "path", "source", "status", "type", "updated", "uri", "url", "user name", "username",
}  # fmt: skip
_TITLE_CHARACTERS = 80
_LETTERS = re.compile(r"[^\W\d_]{3}|[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]{2}")
_NUMBER_OR_HASH = re.compile(r"[\d.]+|[0-9a-f-]{16,}", re.IGNORECASE)
_NO_NAME = re.compile(r"\S*://|www\.|\S+@\S+$|\d{4}-\d\d|true$|false$|none$|null$", re.IGNORECASE)


def text_column(values: Mapping[str, Any]) -> str | None:
    """The column that holds the text by another name, if it is the longest text of the row."""
    named = _by_name(values, _TEXTS)
    if named is None or not isinstance(values[named], str) or is_empty(values[named]):
        return None
    longest = max(len(value) for value in values.values() if isinstance(value, str))
    return named if len(values[named]) == longest else None


def id_column(values: Mapping[str, Any]) -> str | None:
    """The column that holds the id by another name."""
    named = _by_name(values, _IDS)
    return named if named is not None and id_text(values[named]) else None


def id_text(value: object) -> str | None:
    """An id as text, also that of a database ({"$oid": "..."}); empty for none, and None if it cannot be one."""
    if isinstance(value, dict) and len(value) == 1:
        (value,) = value.values()
    if is_empty(value):
        return ""
    if isinstance(value, bool | list | dict):
        return None
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def title_column(values: Sequence[tuple[str, Any]]) -> str | None:
    """The column that names a row: by its own name, or because it is the first that holds a short text."""
    texts = {name: value for name, value in values if isinstance(value, str) and _LETTERS.search(value)}
    if (named := _by_name(texts, _NAMING)) is not None:
        return named
    telling = [name for name in texts if _plain(name) not in _TELLING_NOTHING]
    if named := next((name for name in telling if _plain(name).rpartition(" ")[2] in _NAMING_ENDS), None):
        return named
    return next((name for name in telling if _is_short_name(texts[name])), None)


def _is_short_name(value: str) -> bool:
    return len(one_line(value)) <= _TITLE_CHARACTERS and not _NO_NAME.match(value.strip())


def is_telling_id(id_: object) -> bool:
    """Whether an id is text that a reader may know, and neither a number nor a hash."""
    return isinstance(id_, str) and bool(id_.strip()) and not _NUMBER_OR_HASH.fullmatch(id_.strip())


def shortened_title(text: str) -> str:
    """The first line of a text, cut at a word if it is long."""
    line = one_line(text.strip().split("\n", 1)[0])
    if len(line) <= _TITLE_CHARACTERS:
        return line
    head = line[:_TITLE_CHARACTERS]
    # A language without spaces has no word to cut at.
    return (head.rpartition(" ")[0] or head).rstrip() + "…"


def _by_name(values: Iterable[str], wanted: tuple[str, ...]) -> str | None:
    return _named(tuple(values), wanted)


# The rows of a file mostly have the same columns.
@lru_cache(1024)
def _named(names: tuple[str, ...], wanted: tuple[str, ...]) -> str | None:
    plain = {_plain(name): name for name in reversed(names)}
    return next((plain[one] for one in wanted if one in plain), None)


@lru_cache(4096)
def _plain(name: str) -> str:
    """In lower case, with words separated by spaces."""
    return " ".join(re.sub(r"[-_.\s]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)).casefold().split())
