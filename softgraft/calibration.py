"""The evidence score of a domain, fitted on its own questions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from chains import AnswerSettings
from chains.answering import JUDGED
from evaluation.items import Item
from evaluation.retrieval_scores import Gold
from evaluation.systems import searched_for
from retrieval import EvidenceScale, Index, RankedPassage, fit_scale
from retrieval.evidence_score import Labelled

# Fewer unanswerable questions than this say too little; then rankings without their gold document stand in for them.
_MINIMUM = 10
# How deep to look for passages that are left when the gold document is taken away.
_DEEP = 12
# Questions searched for in one go, between two steps of the progress bar.
_AT_ONCE = 64


def calibrate(
    index: Index,
    settings: AnswerSettings,
    items: Sequence[Item],
    on_progress: Callable[[int, int], None] | None = None,
) -> EvidenceScale | None:
    """Fit the scale on the questions of train and dev; None where they do not allow it.

    Both together, since a threshold that may lose one answerable question in twenty needs more of them than a dev set
    holds. `on_progress` is told how many questions are searched for, of how many.
    """
    found = labelled_rankings(index, settings, items, on_progress)
    return fit_scale(found) if len({one.answered for one in found}) == 2 else None


def labelled_rankings(
    index: Index,
    settings: AnswerSettings,
    items: Sequence[Item],
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Labelled]:
    """What the evidence score judges for each question, with whether it answers.

    Where too few questions are unanswerable, rankings without the documents that answer stand in for them.
    """
    gold = Gold(index)
    labelled: list[Labelled] = []
    foreign: list[Labelled] = []
    for item, ranked in zip(items, _searched(index, settings, items, on_progress), strict=True):
        top = ranked[:JUDGED]
        holds = not item.documents or any(gold.passage_holds(item, entry.passage) for entry in top)
        labelled.append(Labelled(top, item.answerable and holds, item.answerable))
        others = [entry for entry in ranked if entry.passage.doc_id not in item.documents]
        if item.answerable and item.documents and others:
            foreign.append(Labelled(others[:JUDGED], False, False))
    few = sum(not one.answerable for one in labelled) < _MINIMUM
    return [*labelled, *foreign] if few else labelled


def _searched(
    index: Index,
    settings: AnswerSettings,
    items: Sequence[Item],
    on_progress: Callable[[int, int], None] | None,
) -> Iterator[list[RankedPassage]]:
    # Whatever rewrites follow-ups later.
    queries = searched_for(index, items, settings.weights)
    for first in range(0, len(queries), _AT_ONCE):
        yield from index.search_many(queries[first : first + _AT_ONCE], _DEEP, weights=settings.weights)
        if on_progress is not None:
            on_progress(min(first + _AT_ONCE, len(queries)), len(queries))
