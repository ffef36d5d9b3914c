"""The documents and quotes that questions refer to: find them, and name those that do not exist."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Literal

from evaluation.items import Item
from evaluation.text_scores import token_f1
from retrieval import PassageStore
from retrieval.splitting.sentences import sentences_by_line

# The sources of documents that share a file, one per row, are no names of documents.
_ROW_SUFFIXES = (".jsonl", ".csv", ".tsv")
# A closest match below this is none.
_SIMILAR_NAME, _SIMILAR_QUOTE = 0.6, 0.3
# A quote is looked for in other documents only if there are at most this many, and only for the first lost ids.
_SEARCHED_DOCUMENTS, _SEARCHED_QUOTES = 2000, 50
# Quotation marks, apostrophes and dashes that editors replace.
_PLAIN = str.maketrans({**dict.fromkeys("“”„‟«»″", '"'), **dict.fromkeys("‘’‚‛′`´", "'"), **dict.fromkeys("‐‑–—", "-")})


@dataclass(frozen=True, slots=True)
class LostReference:
    """A value of a question that is in no document: `closest` is the most similar id or text, if there is any.

    `item` is the id of the question.
    """

    item: str
    question: str
    column: Literal["doc_id", "doc_ids", "quote"]
    value: str
    closest: str | None


class DocumentNames:
    """Finds documents of an index by id, by path, and by the part of a path that is unique."""

    def __init__(self, store: PassageStore) -> None:
        self._store = store

    @cached_property
    def ids(self) -> frozenset[str]:
        return frozenset(self._store.document_ids())

    @cached_property
    def _by_path(self) -> dict[str, set[str]]:
        """All ends of the documents' paths, in lower case, with the documents that they belong to."""
        by_path: dict[str, set[str]] = {}
        for document in self._store.stored_documents().values():
            ends = {document.id.casefold()}
            if not document.source.lower().endswith(_ROW_SUFFIXES):
                source = PurePosixPath(document.source.casefold())
                ends |= {*_path_ends(source), *_path_ends(source.with_suffix(""))}
            for end in ends:
                by_path.setdefault(end, set()).add(document.id)
        return by_path

    def find(self, name: str) -> str | None:
        """The id that a name means: the id itself, or a path such as "docs/fees.md"; None if there is none or several.

        Everything up to a folder `docs` is left out, as is a leading "./"; the case of letters does not count.
        """
        if name in self.ids:
            return name
        parts = [part for part in name.strip().replace("\\", "/").casefold().split("/") if part not in ("", ".")]
        if "docs" in parts[:-1]:
            parts = parts[parts.index("docs") + 1 :]
        found = self._by_path.get("/".join(parts), set())
        return next(iter(found)) if len(found) == 1 else None

    def closest(self, name: str) -> str | None:
        """The most similar id."""
        similar = difflib.get_close_matches(name, sorted(self.ids), n=1, cutoff=_SIMILAR_NAME)
        return similar[0] if similar else None

    def containing(self, quote: str) -> str | None:
        """The only document that contains a quote; None in a large index."""
        if len(self.ids) > _SEARCHED_DOCUMENTS:
            return None
        found = [doc_id for doc_id, text in self._plain_texts.items() if _plain(quote) in text]
        return found[0] if len(found) == 1 else None

    @cached_property
    def _plain_texts(self) -> dict[str, str]:
        return {doc_id: _plain(self.text(doc_id)) for doc_id in self.ids}

    def text(self, doc_id: str) -> str:
        """The text of a document."""
        return self._store.document(doc_id).text


def resolve(items: Sequence[Item], names: DocumentNames) -> tuple[list[Item], list[LostReference]]:
    """The items with the ids and the exact quotes of the documents, and the values that no document has.

    White space, the kind of quotation marks and dashes, and the case of letters do not count in a quote. Lost values
    are removed from the items, so that nothing is fitted to a document that does not exist.
    """
    resolved: list[Item] = []
    lost: list[LostReference] = []
    for item in items:
        changes: dict[str, object] = {}
        if item.doc_id or item.doc_ids:
            changes, missing = _documents_of(item, names, search=len(lost) < _SEARCHED_QUOTES)
            lost += missing
        if item.quote and (doc_id := changes.get("doc_id")):
            text = names.text(str(doc_id))
            changes["quote"] = find_quote(text, item.quote) or ""
            if not changes["quote"]:
                closest = closest_text(text, item.quote)
                lost.append(LostReference(item.id, item.question, "quote", item.quote, closest))
        changed = {name: value for name, value in changes.items() if value != getattr(item, name)}
        resolved.append(item.model_copy(update=changed) if changed else item)
    return resolved, lost


def _documents_of(item: Item, names: DocumentNames, *, search: bool) -> tuple[dict[str, object], list[LostReference]]:
    """The fields `doc_id` and `doc_ids` with ids alone, and the names that are lost.

    `search`: look for the quote in other documents, which takes longer.
    """
    lost: list[LostReference] = []
    doc_id = names.find(item.doc_id) or ""
    if item.doc_id and not doc_id:
        closest = (names.containing(item.quote) if item.quote and search else None) or names.closest(item.doc_id)
        lost.append(LostReference(item.id, item.question, "doc_id", item.doc_id, closest))
    found = {name: names.find(name) for name in item.doc_ids if name}
    unknown = [name for name, known in found.items() if not known]
    lost += [LostReference(item.id, item.question, "doc_ids", name, names.closest(name)) for name in unknown]
    if not item.doc_ids:
        return {"doc_id": doc_id}, lost
    return {"doc_id": doc_id, "doc_ids": tuple(known for known in found.values() if known)}, lost


def find_quote(text: str, quote: str) -> str | None:
    """The part of a text that equals a quote but for white space, quotation marks, dashes and case."""
    if quote in text:
        return quote
    wanted = _plain(quote)
    if not wanted or wanted not in _plain(text):
        return None
    plain, places = _plain_with_places(text)
    start = plain.index(wanted)
    return text[places[start] : places[start + len(wanted) - 1] + 1]


def closest_text(text: str, quote: str) -> str | None:
    """The sentences of a text that share the most words with a quote, as many as the quote has."""
    spans, count = sentences_by_line(text), max(1, len(sentences_by_line(quote)))
    windows = [text[spans[n][0] : spans[min(n + count, len(spans)) - 1][1]] for n in range(len(spans))]
    best = max(windows, key=lambda window: token_f1(window, [quote]), default="")
    return best if best and token_f1(best, [quote]) >= _SIMILAR_QUOTE else None


def _plain(text: str) -> str:
    """The text as it is compared: one space for white space, plain marks, no case."""
    return " ".join(text.translate(_PLAIN).casefold().split())


def _plain_with_places(text: str) -> tuple[str, list[int]]:
    """`_plain`, and the place in the text of each of its characters."""
    characters: list[str] = []
    places: list[int] = []
    for place, character in enumerate(text.translate(_PLAIN)):
        # Some letters are two without case.
        for plain in " " if character.isspace() else character.casefold():
            if plain != " " or (characters and characters[-1] != " "):
                characters.append(plain)
                places.append(place)
    return "".join(characters), places


def _path_ends(path: PurePosixPath) -> Iterator[str]:
    """A path, and what is left of it without its first folders."""
    return ("/".join(path.parts[first:]) for first in range(len(path.parts)))
