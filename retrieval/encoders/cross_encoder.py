"""Optional reranking by a cross-encoder, a model that reads query and passage together.

This package contains no such model; the user configures one, as a folder or by its Hugging Face id.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from retrieval.documents import RankedPassage, passage_text
from retrieval.encoders.model_folder import (
    SAFETENSORS,
    checked_folder,
    problem_line,
    saved_as,
    without_questions,
    without_safetensors,
)
from retrieval.errors import RerankerError

# Number of passages that it reads.
CROSS_ENCODER_DEPTH = 12
_BATCH = 16


# Scores `[pairs]`, float32, from 0 to 1, for pairs of query and passage text; higher fits better. Thread-safe.
PairScorer = Callable[[Sequence[tuple[str, str]]], NDArray[np.float32]]


def load_reranker(name: str) -> PairScorer:
    """Load a cross-encoder from a local folder or by its Hugging Face id.

    Raises RerankerError if it cannot be loaded, or has more than one score per pair.
    """
    # These take seconds to import.
    import torch
    from sentence_transformers import CrossEncoder

    # Some models have unbounded scores, but a score margin should have one meaning. Without it, the library would call
    # what the model's settings name.
    sigmoid = torch.nn.Sigmoid()
    try:
        with without_questions():
            folder = checked_folder(name)
            model = CrossEncoder(
                str(folder), trust_remote_code=False, activation_fn=sigmoid, model_kwargs={"use_safetensors": True}
            )
    except Exception as error:  # settings of a foreign model may make the library raise anything
        found = f"the reranker {name!r} cannot be loaded ({problem_line(error)})"
        if not without_safetensors(error):
            raise _reranker_error(found) from error
        convert = f'CrossEncoder("{name}").save_pretrained("{saved_as(name)}")'
        raise RerankerError(
            found=found, expected=SAFETENSORS, next_step=f"if you trust its source, convert it: {convert}"
        ) from error
    if model.num_labels != 1:
        raise _reranker_error(f"the reranker {name!r} has {model.num_labels} scores per pair")
    model.eval()
    # The tokenizer changes its own truncation setting during a call, so calls must not overlap.
    lock = threading.Lock()

    def score(pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        with lock:
            scores = model.predict(
                list(pairs),
                batch_size=_BATCH,
                show_progress_bar=False,
                activation_fn=sigmoid,
                convert_to_numpy=True,
            )
        return np.asarray(scores, dtype=np.float32).reshape(len(pairs))

    return score


def cross_encoder_order(
    scorer: PairScorer, queries: Sequence[str], rankings: Sequence[Sequence[RankedPassage]]
) -> list[list[RankedPassage]]:
    """Each ranking with its first `CROSS_ENCODER_DEPTH` passages ordered by the scorer, whose scores they get.

    The other passages follow in their order, with lower scores.
    """
    heads = [ranked[:CROSS_ENCODER_DEPTH] for ranked in rankings]
    pairs = [(query, passage_text(entry.passage)) for query, head in zip(queries, heads, strict=True) for entry in head]
    scores = iter(scorer(pairs).tolist() if pairs else [])
    ordered: list[list[RankedPassage]] = []
    for ranked, head in zip(rankings, heads, strict=True):
        best = sorted((replace(entry, score=next(scores)) for entry in head), key=lambda entry: -entry.score)
        # Below all scores of the scorer, which are between 0 and 1.
        rest = [replace(entry, score=-float(n)) for n, entry in enumerate(ranked[CROSS_ENCODER_DEPTH:], 1)]
        ordered.append([*best, *rest])
    return ordered


def _reranker_error(found: str) -> RerankerError:
    return RerankerError(
        found=found,
        expected="a folder, or a Hugging Face id, of a sentence-transformers cross-encoder with one score per pair",
        next_step=(
            "check the name, and unset HF_HUB_OFFLINE if it has to be downloaded; "
            "or set `reranker: null` under `retrieval` in domain.yaml"
        ),
    )
