"""The questions and the fit of `sentences.py`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from benchmarks.answers.form_cells import domain_folder
from evaluation import contains_answer
from evaluation.items import spread
from evaluation.systems import question_and_history
from retrieval.ranking.sentence_selection import CLOSE
from softgraft import open_domain

Split = Literal["train", "dev", "test"]

# Strength of the penalty on the weights of standardised features.
_PENALTY = 1e-3


@dataclass(frozen=True, eq=False)
class Question:
    """The evidence sentences of one question: features `[sentences, features]`, and which contain a short answer."""

    features: NDArray[np.float64]
    right: NDArray[np.bool_]


def load_questions(name: str, data: Path, work: Path, split: Split, limit: int) -> list[Question]:
    """Answerable questions with short answers, follow-ups too, whose evidence the domain considers strong enough."""
    with closing(open_domain(domain_folder(name, data, work), build=work / name / "untrained")) as domain:
        domain.ingest()
        asked = spread([item for item in domain.items(split) if item.answerable and item.answers], limit)
        answering = domain.answering(domain.graft, form="quote")
        queries = answering.queries([question_and_history(item) for item in asked])
        evidence = answering.evidence_many(queries, [item.question for item in asked])
        selector = answering.index.selector
        questions: list[Question] = []
        for item, query, found in zip(asked, queries, evidence, strict=True):
            if not found.enough:
                continue
            sentences, features = selector.features(item.question, answering.quotable(found), search_query=query)
            right = [contains_answer(sentence.text, item.answers) > 0 for sentence in sentences]
            questions.append(Question(features, np.array(right, dtype=bool)))
        return questions


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
    """Share of questions with an answer in the best sentence, the best two, and what is quoted; and its sentences.

    Without weights, all sentences are quoted.
    """
    rows: list[tuple[float, ...]] = []
    for question in questions:
        right = question.right
        if weights is None:
            rows.append((*[float(right.any())] * 3, float(len(right))))
            continue
        scores = question.features @ np.array(weights)
        order = np.argsort(-scores, kind="stable")[:2]
        quoted = order[scores[order] > scores[order[0]] - CLOSE]
        shown = (order[:1], order, quoted)
        rows.append((*(float(right[some].any()) for some in shown), float(len(quoted))))
    means = np.mean(rows, axis=0).tolist()
    return dict(zip(("best", "best_two", "quoted", "sentences"), means, strict=True))
