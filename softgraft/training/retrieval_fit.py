"""What an ingest fits to the questions of a domain, kept in its build folder, and the settings that overrule it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from chains import AnswerSettings
from chains.answering.answering import JUDGED
from evaluation.items import Item
from evaluation.retrieval_scores import GoldSpans
from evaluation.systems import joined_queries
from retrieval import EvidenceScale, Index, RankedPassage, fit_scale, load_scale, save_scale
from retrieval.ranking.evidence_score import Labelled
from softgraft.settings.domain_file import DomainFile
from softgraft.training.ranking_weights import Weights, choose_weights, load_weights, save_weights, usual_weights

EVIDENCE, WEIGHTS = "evidence.json", "weights.json"

OnFit = Callable[[int, int], None]


def fit_weights(file: DomainFile, build: Path, index: Index, items: Sequence[Item], on_progress: OnFit) -> None:
    """Choose how much meaning and words count, where domain.yaml leaves both to be chosen."""
    path = build / WEIGHTS
    path.unlink(missing_ok=True)
    if file.retrieval.dense_weight == file.retrieval.bm25_weight == "auto":
        usual = usual_weights(file.language, file.encoder)
        save_weights(choose_weights(index, usual, items, on_progress), path)


def search_weights(file: DomainFile, build: Path) -> Weights:
    """Of the dense and the BM25 ranking: as domain.yaml says; where it says `auto`, as they were chosen.

    With only one `auto` nothing was chosen, and it has the usual value of the language.

    Raises:
        RetrievalError: the choice cannot be read.
    """
    dense, bm25 = file.retrieval.dense_weight, file.retrieval.bm25_weight
    if dense != "auto" and bm25 != "auto":
        return dense, bm25
    chosen = load_weights(build / WEIGHTS) if dense == bm25 else None
    found = chosen.weights if chosen else usual_weights(file.language, file.encoder)
    return found[0] if dense == "auto" else dense, found[1] if bm25 == "auto" else bm25


def fit_evidence(
    build: Path, index: Index, settings: AnswerSettings, train: Sequence[Item], dev: Sequence[Item], on_progress: OnFit
) -> EvidenceScale | None:
    """Fit the evidence score and keep it; where the questions do not allow one, forget that of before."""
    scale = calibrate(index, settings, [*train, *dev], on_progress) if train and dev else None
    if scale is not None:
        save_scale(scale, build / EVIDENCE)
    else:
        (build / EVIDENCE).unlink(missing_ok=True)
    return scale


def evidence_scale(file: DomainFile, build: Path) -> EvidenceScale | None:
    """The evidence score, with the threshold of domain.yaml where it names one; None where none was fitted.

    Raises:
        RetrievalError: the file cannot be read.
    """
    scale, threshold = load_scale(build / EVIDENCE), file.retrieval.evidence_threshold
    return scale if scale is None or threshold == "auto" else replace(scale, threshold=threshold)


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
    gold = GoldSpans(index)
    labelled: list[Labelled] = []
    foreign: list[Labelled] = []
    for item, ranked in zip(items, _searched(index, settings, items, on_progress), strict=True):
        top = ranked[:JUDGED]
        holds = not item.documents or any(gold.passage_overlaps(item, entry.passage) for entry in top)
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
    queries = joined_queries(index, items, settings.weights)
    for first in range(0, len(queries), _AT_ONCE):
        yield from index.search_many(queries[first : first + _AT_ONCE], _DEEP, weights=settings.weights)
        if on_progress is not None:
            on_progress(min(first + _AT_ONCE, len(queries)), len(queries))
