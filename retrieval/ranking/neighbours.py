"""Passages grown by their neighbours in the document, still exact spans of it.

Short passages are found best, but what stands just before or behind one may be needed to understand it. A passage
grows within its own section only, so that the title and heading in front of it stay true.
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
    """The ranking with each passage grown by up to `count` neighbours on either side.

    A grown passage runs from its first neighbour's start to its last one's end, and has an id of its own; scores are
    those of the passage that was found. No text comes twice: a passage does not grow into one that stands higher,
    and one that a higher one has grown over is left out, so there may be fewer.

    Args:
        ranked: best first.
        passages_of: ids of documents to their passages, by document and then by position.
        document_of: the id of a document to the document.
        count: of neighbours on either side; 0 changes nothing.

    Raises:
        ValueError: a negative count.
    """
    if count < 0:
        raise ValueError(f"neighbours are {count}; expected 0 or more")
    if count == 0:
        return list(ranked)
    sections: dict[str, list[Passage]] = {}
    for passage in passages_of(sorted({entry.passage.doc_id for entry in ranked})):
        sections.setdefault(passage.doc_id, []).append(passage)
    taken: set[str] = set()
    grown: list[RankedPassage] = []
    for entry in ranked:
        found = entry.passage
        if found.id in taken:
            continue
        around = _around(found, sections.get(found.doc_id, []), taken, count)
        taken.update(passage.id for passage in around)
        grown.append(replace(entry, passage=_joined(found, around, document_of)))
    return grown


def _around(found: Passage, passages: Sequence[Passage], taken: set[str], count: int) -> list[Passage]:
    """The passage between its free neighbours of the same section, in the order of the document."""
    at = next((n for n, passage in enumerate(passages) if passage.id == found.id), None)
    if at is None:  # it was removed from the index since it was found
        return [found]
    around = [found]
    for step in (-1, 1):
        for distance in range(1, count + 1):
            n = at + step * distance
            if not 0 <= n < len(passages) or passages[n].heading != found.heading or passages[n].id in taken:
                break
            around.insert(0 if step < 0 else len(around), passages[n])
    return around


def _joined(found: Passage, around: Sequence[Passage], document_of: Callable[[str], Document]) -> Passage:
    if len(around) == 1:
        return found
    start, end = around[0].start, around[-1].end
    text = document_of(found.doc_id).text[start:end]
    return replace(
        found,
        id=passage_id(found.doc_id, start, end, text),
        text=text,
        start=start,
        end=end,
        page=around[0].page,
    )
