"""The questions and the fit of `sentences.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from benchmarks.script import ROOT
from benchmarks.search.data import EVIDENCE_TOKENS, MAX_PASSAGES, PASSAGE_TOKENS, DataSet, Split
from chains import AnswerSettings
from evaluation import contains_answer, read_items
from evaluation.items import Item, spread
from retrieval import Encoder, Index, ingest, open_index
from retrieval.ranking.evidence_budget import within_budget
from retrieval.ranking.sentence_selection import SentenceSelector
from softgraft.training.retrieval_fit import usual_weights

DOMAINS = ("bank", "clinic")
MARGIN = 0.15
# Strength of the penalty on the weights of standardised features.
_PENALTY = 1e-3


@dataclass(frozen=True, eq=False)
class Question:
    """The evidence sentences of one question: features `[sentences, features]`, and which contain a short answer."""

    features: NDArray[np.float64]
    right: NDArray[np.bool_]


def load_questions(name: str, data: Path, work: Path, encoder: Encoder, split: Split, limit: int) -> list[Question]:
    """Answerable questions with short answers and without history, with the evidence that a domain retrieves."""
    index, weights, items = _open(name, data, work, encoder, split)
    asked = spread([i for i in items if i.answerable and i.answers and not i.history], limit)
    settings = AnswerSettings(passages=MAX_PASSAGES, margin=MARGIN, evidence_tokens=EVIDENCE_TOKENS, weights=weights)
    selector = SentenceSelector(encoder, cosine_scale=index.cosine_scale)
    questions: list[Question] = []
    with index:
        rankings = index.search_many([item.question for item in asked], MAX_PASSAGES, weights=weights)
        for item, ranked in zip(asked, rankings, strict=True):
            kept = within_budget(
                ranked, settings.evidence_budget, expanded=index.expanded, count_tokens=encoder.count_tokens
            )
            sentences, features = selector.features(item.question, kept)
            right = [contains_answer(sentence.text, item.answers) > 0 for sentence in sentences]
            questions.append(Question(features, np.array(right, dtype=bool)))
    return questions


def _open(
    name: str, data: Path, work: Path, encoder: Encoder, split: Split
) -> tuple[Index, tuple[float, float], list[Item]]:
    if name in DOMAINS:
        folder = ROOT / "domains" / name
        ingest(folder / "docs", work / name / "index", encoder, max_tokens=PASSAGE_TOKENS)
        return open_index(work / name / "index", encoder), usual_weights("en", encoder.id), _items(folder, split)
    data_set = DataSet(name, data, work, encoder)
    return data_set.index(), data_set.weights, data_set.items(split)


def _items(folder: Path, split: Split) -> list[Item]:
    return read_items(folder / f"{split}.jsonl")


def fit(questions: Sequence[Question]) -> list[float]:
    """Weights of a conditional logit: a sentence is chosen with the softmax of its score among its question's."""
    used = [q for q in questions if q.right.any() and not q.right.all()]
    stacked = np.concatenate([q.features for q in used])
    deviation = stacked.std(axis=0) + 1e-9

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        total, gradient = 0.0, np.zeros_like(weights)
        for question in used:
            features = question.features / deviation
            scores = features @ weights
            scores -= scores.max()
            odds = np.exp(scores)
            share, among_right = odds / odds.sum(), odds * question.right / odds[question.right].sum()
            total -= np.log(odds[question.right].sum() / odds.sum())
            gradient += features.T @ (share - among_right)
        penalty = _PENALTY * len(used)
        return total + penalty * float(weights @ weights), gradient + 2 * penalty * weights

    start = np.zeros(stacked.shape[1])
    result = minimize(loss, start, jac=True, method="L-BFGS-B")
    weights = result.x / deviation
    # The first feature is the cosine; a score in its units can be compared with a cosine.
    return (weights / abs(weights[0])).tolist()  # type: ignore[no-any-return]


def shares(questions: Sequence[Question], weights: Sequence[float] | None) -> dict[str, float]:
    """Share of questions whose best sentence, and whose best two, contain an answer; without weights, any sentence."""
    best, best_two = [], []
    for question in questions:
        if weights is None:
            order = np.arange(len(question.right))
            best.append(bool(question.right.any()))
            best_two.append(bool(question.right.any()))
            continue
        order = np.argsort(-(question.features @ np.array(weights)), kind="stable")
        best.append(bool(question.right[order[:1]].any()))
        best_two.append(bool(question.right[order[:2]].any()))
    return {"best": float(np.mean(best)), "best_two": float(np.mean(best_two))}
