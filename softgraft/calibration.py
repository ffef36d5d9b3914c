"""The evidence score of a domain, fitted on its own questions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from chains import AnswerSettings
from chains.answering import JUDGED
from chains.condense import joined_query, leans_on_history
from evaluation.items import Item
from evaluation.retrieval_scores import Gold
from evaluation.systems import turns_of
from retrieval import EvidenceScale, Index, RankedPassage, fit_scale

# Fewer unanswerable questions than this say too little; then rankings without their gold document stand in for them.
_MINIMUM = 10
# How deep to look for passages that are left when the gold document is taken away.
_DEEP = 12
# Questions searched for in one go, between two steps of the progress bar.
_AT_ONCE = 64


def calibrate(
    index: Index,
    settings: AnswerSettings,
    train: Sequence[Item],
    dev: Sequence[Item],
    on_progress: Callable[[int, int], None] | None = None,
) -> EvidenceScale | None:
    """Fit the scale on train and choose its threshold on train and dev; None where the questions do not allow it.

    The scale has six numbers, so train is hardly flattered by the fit, and a threshold that may lose one answerable
    question in twenty needs more of them than a dev set holds. `on_progress` is told how many questions are searched
    for, of how many.
    """
    gold = Gold(index)
    tell = on_progress or (lambda *_: None)
    total, done = len(train) + len(dev), 0

    def search(queries: Sequence[str]) -> Iterator[list[RankedPassage]]:
        nonlocal done
        for first in range(0, len(queries), _AT_ONCE):
            some = queries[first : first + _AT_ONCE]
            yield from index.search_many(some, _DEEP, weights=settings.weights)
            done += len(some)
            tell(done, total)

    fitted, chosen = (_labelled(search, items, gold) for items in (train, dev))
    if not chosen or len({label for _, label in fitted}) < 2 or not any(label for _, label in chosen):
        return None
    return fit_scale(fitted, [*fitted, *chosen])


def _labelled(
    search: Callable[[Sequence[str]], Iterator[list[RankedPassage]]], items: Sequence[Item], gold: Gold
) -> list[tuple[Sequence[RankedPassage], bool]]:
    # Follow-ups are joined to the question before them, whatever rewrites them later: no model is needed here.
    queries = [
        joined_query(item.question, turns_of(item)) if leans_on_history(item.question) else item.question
        for item in items
    ]
    deep = list(search(queries))
    labelled: list[tuple[Sequence[RankedPassage], bool]] = []
    for item, ranked in zip(items, deep, strict=True):
        top = ranked[:JUDGED]
        if not item.answerable:
            labelled.append((top, False))
        elif not item.documents or any(gold.passage_holds(item, entry.passage) for entry in top):
            labelled.append((top, True))
    if sum(not label for _, label in labelled) < _MINIMUM:
        for item, ranked in zip(items, deep, strict=True):
            foreign = [entry for entry in ranked if entry.passage.doc_id not in item.documents]
            if item.answerable and item.documents and foreign:
                labelled.append((foreign[:JUDGED], False))
    return labelled
