"""Weights of the dense and the BM25 ranking, chosen by the domain's language or its own questions.

An encoder that was not trained on a language ranks poorly in it, and no weights suit every kind of document. An ingest
therefore compares several weights on the domain's questions, and replaces the default only if the difference is
significant.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from evaluation import paired_difference
from evaluation.items import Item, spread
from evaluation.retrieval_scores import GoldSpans
from evaluation.systems import joined_queries
from retrieval import Index, RetrievalError
from retrieval.encoders.load import EMBEDDED
from retrieval.ranking.index import DEFAULT_WEIGHTS
from soft_prompt.files import write_bytes

Weights = tuple[float, float]

BM25_ONLY: Weights = (0.0, 1.0)
# Languages whose characters the embedded encoder mostly does not know.
_UNSUPPORTED_LANGUAGES = frozenset({"ja", "ko", "zh"})
_CANDIDATES: tuple[Weights, ...] = (DEFAULT_WEIGHTS, (1.0, 1.0), (1.0, 2.0), (1.0, 0.0), BM25_ONLY)
# With fewer questions the choice is noise; with more it only takes longer.
_MIN_QUESTIONS, _MAX_QUESTIONS = 30, 200
_DEPTH = 10


@dataclass(frozen=True, slots=True)
class ChosenWeights:
    """Weights of the two rankings, and how they were chosen.

    Attributes:
        weights: dense, BM25.
        questions: number of questions they were compared on; 0 if there were too few, so that the language decided.
        ndcg_at_10: score of these weights.
        usual_ndcg_at_10: score of the default weights of the language.
    """

    weights: Weights
    questions: int = 0
    ndcg_at_10: float | None = None
    usual_ndcg_at_10: float | None = None


def usual_weights(language: str, encoder: str) -> Weights:
    """The default weights for a language and an encoder, as domain.yaml names them."""
    return BM25_ONLY if encoder == EMBEDDED and language in _UNSUPPORTED_LANGUAGES else DEFAULT_WEIGHTS


def choose_weights(
    index: Index, usual: Weights, items: Sequence[Item], on_progress: Callable[[int, int], None] | None = None
) -> ChosenWeights:
    """The weights with the best nDCG@10 on these questions, or `usual` if no others are significantly better.

    Args:
        index: what is searched.
        usual: the default weights.
        items: questions; the answerable ones that name their document count, at most 200, and at least 30 are needed.
        on_progress: called with the number of weights compared, and of all.
    """
    asked = spread([item for item in items if item.answerable and item.documents], _MAX_QUESTIONS)
    if len(asked) < _MIN_QUESTIONS:
        return ChosenWeights(usual)
    gold = GoldSpans(index)
    queries = joined_queries(index, asked, usual)
    candidates = list(dict.fromkeys((usual, *_CANDIDATES)))
    scores: dict[Weights, list[float]] = {}
    for number, weights in enumerate(candidates, 1):
        ranked = index.search_many(queries, _DEPTH, weights=weights)
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


def save_weights(chosen: ChosenWeights, path: Path) -> None:
    """Write the choice as JSON."""
    write_bytes(path, json.dumps(asdict(chosen), indent=1).encode())


def load_weights(path: Path) -> ChosenWeights | None:
    """The saved choice, or None.

    Raises:
        RetrievalError: if the file is not what `save_weights` wrote.
    """
    if not path.is_file():
        return None
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        dense, bm25 = (float(weight) for weight in raw["weights"])
        if min(dense, bm25) < 0 or not max(dense, bm25) > 0:
            raise ValueError("weights below 0, or both 0")
        return ChosenWeights(**{**raw, "weights": (dense, bm25)})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RetrievalError(
            found=f"{path} holds no weights: {error}",
            expected="what `softgraft ingest` wrote",
            next_step=f"delete {path} and run: softgraft ingest DOMAIN",
        ) from error
