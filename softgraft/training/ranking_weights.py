"""How much meaning and words count when a domain is searched: by its language, or by its own questions.

An encoder that was not trained on a language finds little in it, and no setting suits every kind of document. So the
weights are tried on the domain's questions at ingest, and others than the usual ones are taken only where they are
better beyond chance.
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

WORDS_ALONE: Weights = (0.0, 1.0)
# Languages of which the embedded encoder knows too few characters.
_UNREAD = frozenset({"ja", "ko", "zh"})
_TRIED: tuple[Weights, ...] = (DEFAULT_WEIGHTS, (1.0, 1.0), (1.0, 2.0), (1.0, 0.0), WORDS_ALONE)
# Fewer questions than this tell too little; more than so many only take time.
_FEWEST, _MOST = 30, 200
_RANKED = 10


@dataclass(frozen=True, slots=True)
class ChosenWeights:
    """Of the dense and the BM25 ranking, with what they were chosen by.

    Attributes:
        weights: dense, BM25.
        questions: how many they were tried on; 0 where there were too few, and the language decided.
        ndcg_at_10: of them and of `usual_ndcg_at_10`, the weights that the language alone would give.
    """

    weights: Weights
    questions: int = 0
    ndcg_at_10: float | None = None
    usual_ndcg_at_10: float | None = None


def usual_weights(language: str, encoder: str) -> Weights:
    """What a domain of that language starts with; `encoder` as in domain.yaml."""
    return WORDS_ALONE if encoder == EMBEDDED and language in _UNREAD else DEFAULT_WEIGHTS


def choose_weights(
    index: Index, usual: Weights, items: Sequence[Item], on_progress: Callable[[int, int], None] | None = None
) -> ChosenWeights:
    """The weights that find most answers of these questions, or `usual` where no others are better beyond chance.

    Only answerable questions that name their document count, at most 200 of them, spread over `items`; of fewer than
    30 nothing is learned. `on_progress` is told how many weights were tried, of how many.
    """
    asked = spread([item for item in items if item.answerable and item.documents], _MOST)
    if len(asked) < _FEWEST:
        return ChosenWeights(usual)
    gold = GoldSpans(index)
    queries = joined_queries(index, asked, usual)
    tried = list(dict.fromkeys((usual, *_TRIED)))
    found: dict[Weights, list[float]] = {}
    for number, weights in enumerate(tried, 1):
        ranked = index.search_many(queries, _RANKED, weights=weights)
        found[weights] = [
            next((1 / math.log2(1 + n) for n, e in enumerate(r, 1) if gold.passage_overlaps(item, e.passage)), 0.0)
            for item, r in zip(asked, ranked, strict=True)
        ]
        if on_progress is not None:
            on_progress(number, len(tried))
    better = [weights for weights in tried[1:] if _clearly_better(found[weights], found[usual])]
    best = max(better, key=lambda weights: sum(found[weights]), default=usual)
    return ChosenWeights(best, len(asked), sum(found[best]) / len(asked), sum(found[usual]) / len(asked))


def _clearly_better(ours: Sequence[float], usual: Sequence[float]) -> bool:
    difference = paired_difference(ours, usual)
    return difference is not None and difference.low > 0


def save_weights(chosen: ChosenWeights, path: Path) -> None:
    """Write them as JSON."""
    write_bytes(path, json.dumps(asdict(chosen), indent=1).encode())


def load_weights(path: Path) -> ChosenWeights | None:
    """The saved choice, or None where there is none.

    Raises:
        RetrievalError: the file is not what `save_weights` wrote.
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
