"""An optional last order of a ranking, by a cross-encoder: a model that reads query and passage together.

No such model comes with this package; the user names one, as a folder or by its Hugging Face id.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from retrieval.documents import RankedPassage, embedded_text
from retrieval.errors import RerankerError

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

# It reads so many of the best passages.
RESCORED = 12
_BATCH = 16


@runtime_checkable
class PairScorer(Protocol):
    """Scores pairs of texts. Safe to call from several threads."""

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """`[len(pairs)]` float32, from 0 to 1, for pairs of a query and what may answer it: higher fits better."""
        ...


def load_reranker(name: str) -> PairScorer:
    """The cross-encoder in a local folder or of that Hugging Face id.

    Raises RerankerError where it cannot be loaded or has more than one score for a pair.
    """
    # torch and sentence-transformers take seconds to import, and few domains name a reranker.
    from safetensors import SafetensorError
    from sentence_transformers import CrossEncoder

    try:
        model = CrossEncoder(name)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        line = (str(error).splitlines() or [""])[0]
        raise _refused(f"the reranker {name!r} cannot be loaded ({type(error).__name__}: {line})") from error
    if model.num_labels != 1:
        raise _refused(f"the reranker {name!r} has {model.num_labels} scores for a pair")
    model.eval()
    return _CrossEncoderScorer(model)


def rescored(
    scorer: PairScorer, queries: Sequence[str], rankings: Sequence[Sequence[RankedPassage]]
) -> list[list[RankedPassage]]:
    """Each ranking with its best `RESCORED` passages in the order of the scorer, their `score` the scorer's.

    What stands further down follows in its order, with a score that falls below.
    """
    heads = [ranked[:RESCORED] for ranked in rankings]
    pairs = [
        (query, embedded_text(entry.passage.title, entry.passage.heading, entry.passage.text))
        for query, head in zip(queries, heads, strict=True)
        for entry in head
    ]
    scores = iter(scorer.score(pairs).tolist() if pairs else [])
    ordered: list[list[RankedPassage]] = []
    for ranked, head in zip(rankings, heads, strict=True):
        best = sorted((replace(entry, score=next(scores)) for entry in head), key=lambda entry: -entry.score)
        # Each a whole unit lower: the scorer's own scores are between 0 and 1.
        rest = [replace(entry, score=-float(n)) for n, entry in enumerate(ranked[RESCORED:], 1)]
        ordered.append([*best, *rest])
    return ordered


class _CrossEncoderScorer:
    def __init__(self, model: CrossEncoder) -> None:
        self._model = model
        # The model's tokenizer changes its own truncation during a call, so calls must not overlap.
        self._lock = threading.Lock()

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        import torch

        with self._lock:
            found = self._model.predict(
                list(pairs),
                batch_size=_BATCH,
                show_progress_bar=False,
                # Some models leave their scores unbounded, and a margin between passages should mean one thing.
                activation_fn=torch.nn.Sigmoid(),
                convert_to_numpy=True,
            )
        return np.asarray(found, dtype=np.float32).reshape(len(pairs))


def _refused(found: str) -> RerankerError:
    return RerankerError(
        found=found,
        expected="a folder, or a Hugging Face id, of a sentence-transformers cross-encoder with one score for a pair",
        next_step=(
            "check the name, and that HF_HUB_OFFLINE is not set if it has to be downloaded; "
            "or set `reranker: null` under `retrieval` in domain.yaml"
        ),
    )
