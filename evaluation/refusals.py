"""Recognise refusals in a model's own words, in any language: a linear classifier over sentence embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.items import Item
from retrieval import Encoder

# Minimum number of training examples per class.
MINIMUM = 10


@dataclass(frozen=True, eq=False)
class RefusalClassifier:
    """Logistic regression on embeddings. `weights`: `[dimension]`, fp32."""

    encoder: Encoder
    weights: NDArray[np.float32]
    bias: float

    def refuses(self, replies: Sequence[str]) -> list[bool]:
        """Whether each reply refuses; an empty one does."""
        vectors = self.encoder.encode([reply if reply.strip() else "-" for reply in replies])
        refusals = vectors @ self.weights + self.bias > 0
        return [bool(refusal) or not reply.strip() for refusal, reply in zip(refusals, replies, strict=True)]


def fit_refusal_classifier(encoder: Encoder, items: Sequence[Item]) -> RefusalClassifier | None:
    """Fit a classifier on the responses of training questions; None if a class has too few of them."""
    from sklearn.linear_model import LogisticRegression

    labelled = [item for item in items if item.target]
    refusals = sum(not item.answerable for item in labelled)
    if refusals < MINIMUM or len(labelled) - refusals < MINIMUM:
        return None
    vectors = encoder.encode([item.target for item in labelled])
    model = LogisticRegression(class_weight="balanced", C=10.0, max_iter=2000)
    model.fit(vectors, np.array([not item.answerable for item in labelled]))
    return RefusalClassifier(encoder, model.coef_[0].astype(np.float32), float(model.intercept_[0]))
