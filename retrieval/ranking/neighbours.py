"""Passages expanded by their neighbours in the document, as exact spans of it.

Short passages are easier to find, but a neighbour may be needed to understand one. A passage is expanded only within
its section, so that its title and heading stay correct.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from retrieval.documents import Document, Passage, RankedPassage, passage_id


def with_neighbours(
    ranked: Sequence[RankedPassage],
    passages_of: Callable[[Sequence[str]], list[Passage]],
    document_of: Callable[[str], Document],
    count: int,
) -> list[RankedPassage]:
    """The ranking with each passage expanded by up to `count` neighbours on either side.

    An expanded passage has its own id, and the scores of the original one. No text occurs twice: a passage does not
    include one that ranks higher, and is dropped if a higher one includes it. So there may be fewer results.

    `passages_of` returns the passages of documents by id, ordered by document and position. Raises ValueError if
    `count` is negative.
    """
    if count < 0:
        raise ValueError(f"neighbours are {count}; expected 0 or more")
    if count == 0:
        return list(ranked)
    by_document: dict[str, list[Passage]] = {}
    for passage in passages_of(sorted({entry.passage.doc_id for entry in ranked})):
        by_document.setdefault(passage.doc_id, []).append(passage)
    used: set[str] = set()
    expanded: list[RankedPassage] = []
    for entry in ranked:
        passage = entry.passage
        if passage.id in used:
            continue
        group = _neighbourhood(passage, by_document.get(passage.doc_id, []), used, count)
        used.update(one.id for one in group)
        expanded.append(replace(entry, passage=_joined(passage, group, document_of)))
    return expanded


def _neighbourhood(passage: Passage, passages: Sequence[Passage], used: set[str], count: int) -> list[Passage]:
    """The passage and its unused neighbours in the same section, in document order."""
    position = next((n for n, one in enumerate(passages) if one.id == passage.id), None)
    if position is None:  # deleted from the index meanwhile
        return [passage]
    group = [passage]
    for step in (-1, 1):
        for distance in range(1, count + 1):
            n = position + step * distance
            if not 0 <= n < len(passages) or passages[n].heading != passage.heading or passages[n].id in used:
                break
            group.insert(0 if step < 0 else len(group), passages[n])
    return group


def _joined(passage: Passage, group: Sequence[Passage], document_of: Callable[[str], Document]) -> Passage:
    if len(group) == 1:
        return passage
    start, end = group[0].start, group[-1].end
    text = document_of(passage.doc_id).text[start:end]
    id_ = passage_id(passage.doc_id, start, end, text)
    return replace(passage, id=id_, text=text, start=start, end=end, page=group[0].page)
