"""Passages expanded by their neighbours: exact spans, within a section, no text twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from retrieval import Encoder, Index, Passage, PassageStore, RankedPassage, ingest, open_index

SENTENCES = [f"Rule {word} says that the visitor at gate {word} waits for a bell." for word in "abcdefgh"]
TEXT = "# Rules\n\n" + " ".join(SENTENCES) + "\n\n## Nights\n\nAt night nobody waits. The gate of stone is shut.\n"


@pytest.fixture
def index(tmp_path: Path, encoder: Encoder) -> Iterator[Index]:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "rules.md").write_text(TEXT, encoding="utf-8")
    (tmp_path / "docs" / "other.txt").write_text("A bell in the garden.", encoding="utf-8")
    ingest(tmp_path / "docs", tmp_path / "index", encoder, max_tokens=28)
    with open_index(tmp_path / "index", encoder) as opened:
        yield opened


def as_ranked(*passages: Passage) -> list[RankedPassage]:
    return [RankedPassage(passage, 1.0 - n / 10, 0.5, 1.0, 0.5) for n, passage in enumerate(passages)]


def rules(index: Index) -> list[Passage]:
    results = [passage for passage in index.document_passages(["rules"]) if not passage.heading]
    assert len(results) >= 5
    return results


@pytest.mark.parametrize("count", [1, 2])
def test_an_expanded_passage_is_an_exact_span(index: Index, count: int) -> None:
    passages = rules(index)
    [grown] = index.expanded(as_ranked(passages[2]), count)
    assert (grown.passage.start, grown.passage.end) == (passages[2 - count].start, passages[2 + count].end)
    document = index.document("rules")
    assert document.text[grown.passage.start : grown.passage.end] == grown.passage.text
    assert grown.passage.id not in {passage.id for passage in passages}
    assert (grown.score, grown.dense, grown.bm25) == (1.0, 0.5, 1.0)


def test_a_document_that_is_deleted_meanwhile_is_still_expanded(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with PassageStore.open(tmp_path / "index" / "index.sqlite") as writer:
        passages, read = rules(index), index._store.passages_by_document

        def read_and_delete(names: Sequence[str]) -> list[Passage]:
            found = read(names)
            writer.delete_document("rules")
            return found

        monkeypatch.setattr(index._store, "passages_by_document", read_and_delete)
        [grown] = index.expanded(as_ranked(passages[2]), 1)
    assert (grown.passage.start, grown.passage.end) == (passages[1].start, passages[3].end)


def test_no_expansion_crosses_a_heading_or_the_end_of_a_document(index: Index) -> None:
    passages = rules(index)
    last, first = passages[-1], passages[0]
    grown = index.expanded(as_ranked(last, first), 1)
    assert [(one.passage.start, one.passage.end) for one in grown] == [
        (passages[-2].start, last.end),
        (first.start, passages[1].end),
    ]
    [other] = index.expanded(as_ranked(*index.document_passages(["other"])), 2)
    assert other.passage == index.document_passages(["other"])[0]


def test_no_text_occurs_twice(index: Index) -> None:
    passages = rules(index)
    grown = index.expanded(as_ranked(passages[2], passages[3], passages[4]), 1)
    # The first includes the second already; the third expands only to the other side.
    assert [one.passage.start for one in grown] == [passages[1].start, passages[4].start]
    spans = sorted((one.passage.start, one.passage.end) for one in grown)
    assert all(before[1] <= after[0] for before, after in pairwise(spans))


def test_zero_neighbours_change_nothing_and_negative_numbers_are_refused(index: Index) -> None:
    results = index.search("a bell at gate b", 3)
    assert index.expanded(results, 0) == results
    with pytest.raises(ValueError, match="neighbours are -1"):
        index.expanded(results, -1)


def test_a_passage_deleted_meanwhile_is_not_expanded(index: Index) -> None:
    gone = replace(rules(index)[0], id="0" * 16)
    [grown] = index.expanded(as_ranked(gone), 2)
    assert grown.passage == gone
