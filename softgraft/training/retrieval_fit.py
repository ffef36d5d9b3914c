"""What an ingest fits to a domain's questions: ranking weights and the evidence scale, stored in its build folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from chains import AnswerSettings
from chains.answering.answering import SCORED_PASSAGES
from evaluation.items import Item
from evaluation.retrieval_scores import GoldSpans
from evaluation.systems import joined_queries
from retrieval import EvidenceScale, Index, RankedPassage, fit_scale, load_scale, save_scale
from retrieval.ranking.evidence_score import LabelledRanking
from softgraft.settings.domain_file import DomainFile
from softgraft.training.ranking_weights import Weights, choose_weights, load_weights, save_weights, usual_weights

EVIDENCE, WEIGHTS = "evidence.json", "weights.json"

OnFit = Callable[[int, int], None]


def fit_weights(file: DomainFile, build: Path, index: Index, items: Sequence[Item], on_progress: OnFit) -> None:
    """Choose the ranking weights, if domain.yaml sets neither."""
    path = build / WEIGHTS
    path.unlink(missing_ok=True)
    if file.retrieval.dense_weight == file.retrieval.bm25_weight == "auto":
        usual = usual_weights(file.language, file.encoder)
        save_weights(choose_weights(index, usual, items, on_progress), path)


def search_weights(file: DomainFile, build: Path) -> Weights:
    """Weights of the dense and the BM25 ranking: from domain.yaml or, for `auto`, as chosen at ingest.

    If only one is `auto`, nothing was chosen, and it gets the default of the language.

    Raises:
        RetrievalError: if the choice cannot be read.
    """
    dense, bm25 = file.retrieval.dense_weight, file.retrieval.bm25_weight
    if dense != "auto" and bm25 != "auto":
        return dense, bm25
    chosen = load_weights(build / WEIGHTS) if dense == bm25 else None
    auto = chosen.weights if chosen else usual_weights(file.language, file.encoder)
    return auto[0] if dense == "auto" else dense, auto[1] if bm25 == "auto" else bm25


def fit_evidence(
    build: Path, index: Index, settings: AnswerSettings, train: Sequence[Item], dev: Sequence[Item], on_progress: OnFit
) -> EvidenceScale | None:
    """Fit the evidence scale and store it; if the questions do not allow one, delete the earlier one."""
    scale = calibrate(index, settings, [*train, *dev], on_progress) if train and dev else None
    if scale is not None:
        save_scale(scale, build / EVIDENCE)
    else:
        (build / EVIDENCE).unlink(missing_ok=True)
    return scale


def evidence_scale(file: DomainFile, build: Path) -> EvidenceScale | None:
    """The evidence scale, with the threshold of domain.yaml if it sets one; None if none was fitted.

    Raises:
        RetrievalError: if the file cannot be read.
    """
    scale, threshold = load_scale(build / EVIDENCE), file.retrieval.evidence_threshold
    return scale if scale is None or threshold == "auto" else replace(scale, threshold=threshold)


# With fewer unanswerable questions than this, rankings without their gold document are used instead.
_MINIMUM = 10
# Passages per ranking, so that some are left when the gold document is removed.
_DEPTH = 12
# Questions per search, between two steps of the progress bar.
_BATCH = 64


def calibrate(
    index: Index,
    settings: AnswerSettings,
    items: Sequence[Item],
    on_progress: Callable[[int, int], None] | None = None,
) -> EvidenceScale | None:
    """Fit the evidence scale on the questions of train and dev; None if they do not allow it.

    Both splits are used: a threshold that refuses 5% of the answerable questions needs more of them than dev holds.

    Args:
        index: the domain's index.
        settings: how evidence is searched for.
        items: questions of train and dev.
        on_progress: called with the number of questions searched for, and of all.
    """
    rankings = labelled_rankings(index, settings, items, on_progress)
    return fit_scale(rankings) if len({ranking.answered for ranking in rankings}) == 2 else None


def labelled_rankings(
    index: Index,
    settings: AnswerSettings,
    items: Sequence[Item],
    on_progress: Callable[[int, int], None] | None = None,
) -> list[LabelledRanking]:
    """The ranking of each question, labelled with whether it holds the answer.

    If too few questions are unanswerable, rankings without the answering documents are added in their place.
    """
    gold = GoldSpans(index)
    labelled: list[LabelledRanking] = []
    foreign: list[LabelledRanking] = []
    for item, ranked in zip(items, _searched(index, settings, items, on_progress), strict=True):
        top = ranked[:SCORED_PASSAGES]
        holds = not item.documents or any(gold.passage_overlaps(item, entry.passage) for entry in top)
        labelled.append(LabelledRanking(top, item.answerable and holds, item.answerable))
        others = [entry for entry in ranked if entry.passage.doc_id not in item.documents]
        if item.answerable and item.documents and others:
            foreign.append(LabelledRanking(others[:SCORED_PASSAGES], False, False))
    few = sum(not one.answerable for one in labelled) < _MINIMUM
    return [*labelled, *foreign] if few else labelled


def _searched(
    index: Index,
    settings: AnswerSettings,
    items: Sequence[Item],
    on_progress: Callable[[int, int], None] | None,
) -> Iterator[list[RankedPassage]]:
    # Joining needs no model, so the scale is the same whatever rewrites follow-ups later.
    queries = joined_queries(index, items, settings.weights)
    for first in range(0, len(queries), _BATCH):
        yield from index.search_many(queries[first : first + _BATCH], _DEPTH, weights=settings.weights)
        if on_progress is not None:
            on_progress(min(first + _BATCH, len(queries)), len(queries))
