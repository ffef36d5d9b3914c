"""What an ingest fits to a domain's questions: ranking weights and the evidence scale, stored in its build folder.

An encoder that was not trained on a language ranks poorly in it, and no weights suit every kind of document. An ingest
therefore compares several weights on the domain's questions, and replaces the default only if the difference is
significant.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Self

from pydantic import ConfigDict, Field, TypeAdapter, model_validator
from pydantic.dataclasses import dataclass

from chains import AnswerSettings
from chains.answering.condense import asked_alone
from evaluation import paired_difference
from evaluation.items import Item, spread
from evaluation.retrieval_scores import GoldSpans
from evaluation.systems import joined_queries
from retrieval import EvidenceScale, Index, RankedPassage, RetrievalError, fit_scale, load_scale, save_scale
from retrieval.encoders.load import MINILM, PACKAGED
from retrieval.ranking.evidence_features import SCORED_PASSAGES, JudgedRanking
from retrieval.ranking.evidence_score import LabelledRanking
from retrieval.ranking.index import DEFAULT_WEIGHTS
from retrieval.ranking.rerank import POOL
from retrieval.ranking.scale_files import default_scale
from retrieval.store.checked_file import read_checked, with_checksum
from retrieval.store.store import recorded_encoder
from soft_prompt.files import write_bytes
from softgraft.settings.domain_file import EVIDENCE, DomainFile
from softgraft.settings.sections import MAX_NUMBER, MIN_OWN_SCALE

WEIGHTS = "weights.json"
OnFit = Callable[[int, int], None]
Weights = tuple[float, float]

BM25_ONLY: Weights = (0.0, 1.0)
# Languages whose characters MiniLM mostly does not know.
_UNSUPPORTED_LANGUAGES = frozenset({"ja", "ko", "zh"})
_CANDIDATES: tuple[Weights, ...] = (DEFAULT_WEIGHTS, (1.0, 1.0), (1.0, 2.0), (1.0, 0.0), BM25_ONLY)
# With fewer questions the choice is noise; with more it only takes longer.
_MIN_QUESTIONS, _MAX_QUESTIONS = 30, 200
# With fewer unanswerable questions than this, rankings without their gold document are used instead.
_MIN_UNANSWERABLE = 10
# Passages per ranking, so that enough are left when the gold document is removed.
_DEPTH = POOL + 12
# Questions per search, between two steps of the progress bar.
_BATCH = 64


_Weight = Annotated[float, Field(ge=0, le=MAX_NUMBER)]
_Score = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class ChosenWeights:
    """Weights of the dense and the BM25 ranking, and how they were chosen.

    Attributes:
        questions: number of questions they were compared on; 0 if there were too few, so that the language decided.
        usual_ndcg_at_10: score of the default weights of the language.
    """

    weights: tuple[_Weight, _Weight]
    questions: Annotated[int, Field(ge=0)] = 0
    ndcg_at_10: _Score | None = None
    usual_ndcg_at_10: _Score | None = None

    @model_validator(mode="after")
    def _require_a_ranking(self) -> Self:
        if not any(self.weights):
            raise ValueError("both weights are 0, so no passage is found")
        return self


_CHOICE = TypeAdapter(ChosenWeights)


def usual_weights(language: str, encoder_id: str) -> Weights:
    """The default weights for a language and an encoder."""
    return BM25_ONLY if encoder_id == PACKAGED[MINILM].id and language in _UNSUPPORTED_LANGUAGES else DEFAULT_WEIGHTS


def choose_weights(
    index: Index, usual: Weights, items: Sequence[Item], on_progress: OnFit | None = None
) -> ChosenWeights:
    """The weights with the best nDCG@10 on these questions, or `usual` if no others are significantly better.

    Only answerable questions that name their document count; at least 30 are needed, and at most 200 are searched for.
    """
    asked = spread([item for item in items if item.answerable and item.documents], _MAX_QUESTIONS)
    if len(asked) < _MIN_QUESTIONS:
        return ChosenWeights(usual)
    gold = GoldSpans(index)
    queries = joined_queries(index, asked, usual)
    candidates = list(dict.fromkeys((usual, *_CANDIDATES)))
    scores: dict[Weights, list[float]] = {}
    for number, weights in enumerate(candidates, 1):
        ranked = index.search_many(queries, 10, weights=weights)
        scores[weights] = [
            next((1 / math.log2(1 + n) for n, e in enumerate(r, 1) if gold.passage_overlaps(item, e.passage)), 0.0)
            for item, r in zip(asked, ranked, strict=True)
        ]
        if on_progress is not None:
            on_progress(number, len(candidates))
    better = [weights for weights in candidates[1:] if _significantly_better(scores[weights], scores[usual])]
    best = max(better, key=lambda weights: sum(scores[weights]), default=usual)
    return ChosenWeights(best, len(asked), sum(scores[best]) / len(asked), sum(scores[usual]) / len(asked))


def _significantly_better(ours: Sequence[float], usual: Sequence[float]) -> bool:
    difference = paired_difference(ours, usual)
    return difference is not None and difference.low > 0


def load_weights(path: Path) -> ChosenWeights | None:
    """The saved choice, or None.

    Raises:
        RetrievalError: if the file cannot be read or is damaged.
    """
    if not path.is_file():
        return None
    try:
        return _CHOICE.validate_json(read_checked(path))
    except (OSError, ValueError) as error:
        raise RetrievalError(
            found=f"{path} holds no weights: {error}",
            expected="what `softgraft ingest` wrote",
            next_step=f"delete {path} and run: softgraft ingest DOMAIN",
        ) from error


def fit_weights(file: DomainFile, build: Path, index: Index, items: Sequence[Item], on_progress: OnFit) -> None:
    """Choose the ranking weights, if domain.yaml sets neither."""
    path = build / WEIGHTS
    if not file.retrieval.dense_weight == file.retrieval.bm25_weight == "auto":
        path.unlink(missing_ok=True)
        return
    # An ingest that is interrupted here keeps the earlier choice.
    chosen = choose_weights(index, usual_weights(file.language, index.encoder.id), items, on_progress)
    write_bytes(path, with_checksum(_CHOICE.dump_json(chosen, indent=1)))


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
    auto = chosen.weights if chosen else usual_weights(file.language, recorded_encoder(build / "index"))
    return auto[0] if dense == "auto" else dense, auto[1] if bm25 == "auto" else bm25


def fit_evidence(
    build: Path, index: Index, settings: AnswerSettings, train: Sequence[Item], dev: Sequence[Item], on_progress: OnFit
) -> EvidenceScale:
    """The domain's evidence scale: fitted and stored if there are enough questions, else the default one."""
    scale = calibrate(index, settings, [*train, *dev], on_progress)
    if scale is not None:
        save_scale(scale, build / EVIDENCE)
        return scale
    (build / EVIDENCE).unlink(missing_ok=True)
    return usual_scale(index.encoder.id, settings.weights)


def usual_scale(encoder_id: str, weights: Weights) -> EvidenceScale:
    """The default scale for an encoder and the weights of the two rankings."""
    return default_scale(encoder_id, vectors=weights[0] > 0)


def evidence_scale(file: DomainFile, build: Path, encoder_id: str) -> EvidenceScale:
    """The evidence scale, with the threshold of domain.yaml if it sets one; a default one if none was fitted.

    Raises:
        RetrievalError: if the file cannot be read.
    """
    usual = usual_scale(encoder_id, search_weights(file, build))
    scale = load_scale(build / EVIDENCE) or usual
    if scale.follow_up is None:  # of the first release
        scale = replace(scale, follow_up=usual.follow_up)
    threshold = file.retrieval.evidence_threshold
    return scale if threshold == "auto" else scale.with_threshold(threshold)


def calibrate(
    index: Index,
    settings: AnswerSettings,
    items: Sequence[Item],
    on_progress: OnFit | None = None,
) -> EvidenceScale | None:
    """Fit the evidence scale on the questions of train and dev; None if there are too few, or all of one kind.

    Both splits are used: a threshold that refuses 5% of the answerable questions needs more of them than dev holds.
    """
    if len(items) < MIN_OWN_SCALE:
        return None
    usual = usual_scale(index.encoder.id, settings.weights)
    rankings = labelled_rankings(index, settings, items, on_progress, vectors=usual.reads_vectors)
    if len({ranking.answered for ranking in rankings}) < 2:
        return None
    return fit_scale(rankings, vectors=usual.reads_vectors, follow_up=usual.follow_up)


def labelled_rankings(
    index: Index,
    settings: AnswerSettings,
    items: Sequence[Item],
    on_progress: OnFit | None = None,
    *,
    vectors: bool = True,
) -> list[LabelledRanking]:
    """The ranking of each question, labelled with whether it holds the answer.

    If too few questions are unanswerable, rankings without the answering documents are added in their place.
    """
    gold = GoldSpans(index)
    few = sum(not item.answerable for item in items) < _MIN_UNANSWERABLE
    labelled: list[LabelledRanking] = []
    foreign: list[LabelledRanking] = []
    for batch, queries, rankings in _searched(index, settings, items, on_progress):
        questions = [asked_alone(query, item.question) for item, query in zip(batch, queries, strict=True)]
        own = index.judged(queries, [ranked[:POOL] for ranked in rankings], questions, vectors=vectors)
        for item, judged in zip(batch, own, strict=True):
            labelled.append(LabelledRanking(judged, holds_answer(gold, item, judged.ranked), item.answerable))
        if few:
            others = without_gold(batch, rankings)
            for judged in _judged_some(index, queries, questions, others, vectors):
                if judged.ranked:
                    foreign.append(LabelledRanking(judged, False, False))
    return [*labelled, *foreign]


def holds_answer(gold: GoldSpans, item: Item, ranked: Sequence[RankedPassage]) -> bool:
    """Whether the scored passages hold the answer; True for an answerable question that names no document."""
    if not item.answerable:
        return False
    return not item.documents or any(gold.passage_overlaps(item, entry.passage) for entry in ranked[:SCORED_PASSAGES])


def without_gold(
    items: Sequence[Item], rankings: Sequence[Sequence[RankedPassage]]
) -> dict[int, Sequence[RankedPassage]]:
    """The rankings of the answerable questions that name their documents, without these documents, by position."""
    return {
        n: [entry for entry in ranked if entry.passage.doc_id not in item.documents][:POOL]
        for n, (item, ranked) in enumerate(zip(items, rankings, strict=True))
        if item.answerable and item.documents
    }


def _judged_some(
    index: Index,
    queries: Sequence[str],
    questions: Sequence[str],
    rankings: Mapping[int, Sequence[RankedPassage]],
    vectors: bool,
) -> list[JudgedRanking]:
    return index.judged(
        [queries[n] for n in rankings], list(rankings.values()), [questions[n] for n in rankings], vectors=vectors
    )


def _searched(
    index: Index,
    settings: AnswerSettings,
    items: Sequence[Item],
    on_progress: OnFit | None,
) -> Iterator[tuple[Sequence[Item], Sequence[str], list[list[RankedPassage]]]]:
    """The items in batches, with their queries and rankings."""
    # Joining needs no model, so the scale is the same whatever rewrites follow-ups later.
    queries = joined_queries(index, items, settings.weights)
    for first in range(0, len(queries), _BATCH):
        batch = queries[first : first + _BATCH]
        yield items[first : first + _BATCH], batch, index.search_many(batch, _DEPTH, weights=settings.weights)
        if on_progress is not None:
            on_progress(min(first + _BATCH, len(queries)), len(queries))
