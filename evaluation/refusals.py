"""Whether a reply refuses: a linear classifier over the encoder's vectors, fitted on the house's own responses.

A gate that refuses says so itself. What a model words by itself is judged here, so that systems without a gate are
counted fairly and no list of phrases in one language is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.items import Item
from retrieval import Encoder

# Fewer refusals than this are not enough to learn from.
MINIMUM = 10


@dataclass(frozen=True, eq=False)
class RefusalJudge:
    """Judges replies. `weights`: `[dimension]`, fp32."""

    encoder: Encoder
    weights: NDArray[np.float32]
    bias: float

    def refuses(self, replies: Sequence[str]) -> list[bool]:
        """Whether each reply refuses; an empty one does."""
        vectors = self.encoder.encode([reply if reply.strip() else "-" for reply in replies])
        said = vectors @ self.weights + self.bias > 0
        return [bool(judged) or not reply.strip() for judged, reply in zip(said, replies, strict=True)]


def fit_refusal_judge(encoder: Encoder, items: Sequence[Item]) -> RefusalJudge | None:
    """A judge fitted on the responses of training questions, or None where too few of them refuse."""
    from sklearn.linear_model import LogisticRegression

    told = [item for item in items if item.target]
    refusals = sum(not item.answerable for item in told)
    if refusals < MINIMUM or len(told) - refusals < MINIMUM:
        return None
    vectors = encoder.encode([item.target for item in told])
    model = LogisticRegression(class_weight="balanced", C=10.0, max_iter=2000)
    model.fit(vectors, np.array([not item.answerable for item in told]))
    return RefusalJudge(encoder, model.coef_[0].astype(np.float32), float(model.intercept_[0]))
