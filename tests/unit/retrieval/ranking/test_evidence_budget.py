"""The evidence budget: number of passages, score margin, tokens and neighbours."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from retrieval import Passage, RankedPassage
from retrieval.ranking.evidence_budget import EvidenceBudget, within_budget


def passage(number: int, words: int) -> Passage:
    text = " ".join(["word"] * words)
    return Passage(str(number), "doc", "Title", "Heading", text, start=0, end=len(text))


RANKED = [
    RankedPassage(passage(number, words), score, dense=0.5, bm25=1.0, coverage=0.5)
    for number, (words, score) in enumerate([(8, 1.0), (18, 0.9), (3, 0.8), (3, 0.4)])
]


def unchanged(ranked: Sequence[RankedPassage], neighbours: int) -> Sequence[RankedPassage]:
    assert neighbours == 0
    return ranked


def count_words(text: str) -> int:
    return len(text.split())


def selected(budget: EvidenceBudget) -> list[str]:
    entries = within_budget(RANKED, budget, expanded=unchanged, count_tokens=count_words)
    return [entry.passage.id for entry in entries]


@pytest.mark.parametrize(
    ("budget", "ids"),
    [
        (EvidenceBudget(passages=9), ["0", "1", "2", "3"]),
        (EvidenceBudget(passages=2), ["0", "1"]),
        (EvidenceBudget(passages=9, margin=0.2), ["0", "1", "2"]),
        (EvidenceBudget(passages=9, margin=0.0), ["0"]),
        # Title and heading count as a word each: 10 + 20 words fill the budget exactly.
        (EvidenceBudget(passages=9, tokens=30), ["0", "1"]),
        # The third passage would fit, but it must not overtake the second.
        (EvidenceBudget(passages=9, tokens=29), ["0"]),
        (EvidenceBudget(passages=9, tokens=1), ["0"]),
    ],
)
def test_each_limit_ends_the_selection(budget: EvidenceBudget, ids: list[str]) -> None:
    assert selected(budget) == ids


def test_neighbours_are_added_to_the_first_passages_and_count_as_tokens() -> None:
    calls = []

    def expanded(ranked: Sequence[RankedPassage], neighbours: int) -> Sequence[RankedPassage]:
        calls.append((len(ranked), neighbours))
        return [ranked[1], ranked[1]]

    budget = EvidenceBudget(passages=3, tokens=25, neighbours=1)
    entries = within_budget(RANKED, budget, expanded=expanded, count_tokens=count_words)
    assert entries == (RANKED[1],)
    assert calls == [(3, 1)]


def test_an_empty_ranking_has_no_evidence() -> None:
    assert within_budget([], EvidenceBudget(4), expanded=unchanged, count_tokens=count_words) == ()
