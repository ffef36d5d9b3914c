"""Recognises refusals in a model's own words, fitted at ingest on the responses of the training questions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from evaluation import RefusalClassifier, fit_refusal_classifier, normalise
from evaluation.items import Item
from retrieval import Encoder
from soft_prompt.files import write_bytes
from soft_prompt.json_text import dump_json
from softgraft.errors import DomainError

# In build/: the fitted classifier.
REFUSALS = "refusals.json"
# Share of the words of the domain's refusal that a sentence must have to count as one.
_SAME_WORDS = 0.8


def fit_refusals(build: Path, encoder: Encoder, items: Sequence[Item]) -> RefusalClassifier | None:
    """Fit and store the classifier, unless the stored one has these questions and this encoder.

    Returns None, and deletes an earlier one, if there are too few responses of a kind.
    """
    digest = _digest(items)
    if (fitted := _load(encoder, build / REFUSALS, digest)) is not None:
        return fitted
    classifier = fit_refusal_classifier(encoder, items)
    if classifier is None:
        (build / REFUSALS).unlink(missing_ok=True)
        return None
    content = {
        "encoder": encoder.id,
        "questions": digest,
        "weights": classifier.weights.tolist(),
        "bias": classifier.bias,
    }
    write_bytes(build / REFUSALS, dump_json(content).encode())
    return classifier


def _digest(items: Sequence[Item]) -> str:
    """SHA-256 of what the classifier is fitted on."""
    return hashlib.sha256(json.dumps([[item.target, item.answerable] for item in items]).encode()).hexdigest()


def refusal_check(refusal: str, encoder: Encoder, build: Path) -> Callable[[str], bool]:
    """Whether a sentence refuses: it repeats the domain's refusal, or the classifier says so, if there is one."""
    classifier, words = _load(encoder, build / REFUSALS), frozenset(normalise(refusal))

    def refuses(sentence: str) -> bool:
        own = frozenset(normalise(sentence))
        if own and len(own & words) >= _SAME_WORDS * max(len(own), len(words)):
            return True
        return classifier is not None and classifier.refuses([sentence])[0]

    return refuses


def _load(encoder: Encoder, path: Path, questions: str | None = None) -> RefusalClassifier | None:
    """The stored classifier; None if there is none, or it was fitted with another encoder or other questions.

    Raises:
        DomainError: if it cannot be read.
    """
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        weights = np.array(content["weights"], dtype=np.float32)
        if content["encoder"] != encoder.id or (questions is not None and content.get("questions") != questions):
            return None
        if weights.shape != (encoder.dimension,):
            raise ValueError(f"{weights.shape} weights")
        return RefusalClassifier(encoder, weights, float(content["bias"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DomainError(
            found=f"{path} is not a valid classifier of refusals: {error}",
            expected="the file that `softgraft ingest` wrote",
            next_step=f"delete {path} and run: softgraft ingest DOMAIN",
        ) from error
