"""The evidence score: the probability that ranked passages answer their query.

Cosine and BM25 mean different things in different domains. So a logistic regression over the features of a ranking is
fitted on questions of the domain; a domain without enough of them has a default scale, fitted on other domains
(`default_scale`). The score is a probability: of questions like those of the fit that score 0.7, about seven in ten are
answered by their passages. A question whose passages miss an existing answer counts as not answered.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from retrieval.ranking.evidence_features import VECTOR_FEATURES, WORD_FEATURES, JudgedRanking
from retrieval.ranking.quote_features import QUOTE_FEATURES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Maximum share of answered questions that may score below the threshold.
WRONG_REFUSALS = 0.05
BINS = 10
_FOLDS = 5


@dataclass(frozen=True, slots=True)
class LogisticModel:
    """A logistic regression over named features, and the threshold below which evidence does not suffice."""

    features: tuple[str, ...]
    weights: tuple[float, ...]
    bias: float
    threshold: float

    def score(self, judged: JudgedRanking) -> float:
        """Probability, 0 to 1, that the passages answer; 0 without passages."""
        if not judged.ranked:
            return 0.0
        values = (judged.features[name] for name in self.features)
        total = self.bias + sum(w * x for w, x in zip(self.weights, values, strict=True))
        return 1 / (1 + math.exp(-max(-60.0, min(60.0, total))))


@dataclass(frozen=True, slots=True)
class EvidenceScale:
    """How rankings are scored, and which scores suffice.

    Attributes:
        model: scores the ranking of a query.
        follow_up: scores what a follow-up adds to the question before it; a follow-up must pass both. None if
            follow-ups are judged by their query alone.
        origin: whether it was fitted on the domain's own questions, or is a default scale.
        questions: number of the domain's questions that it was fitted on. The following figures refer to them; they
            are None where there are none.
        wrong_refusals: share of answered questions below the threshold.
        right_refusals: share of unanswerable questions below the threshold.
        answered_share: share of questions that their passages answer.
        brier: Brier score in five-fold cross-validation; None if there are too few questions.
        calibration_error: expected calibration error in the same cross-validation.
    """

    model: LogisticModel
    follow_up: LogisticModel | None = None
    origin: Literal["domain", "default"] = "domain"
    questions: int = 0
    wrong_refusals: float | None = None
    right_refusals: float | None = None
    answered_share: float | None = None
    brier: float | None = None
    calibration_error: float | None = None

    @property
    def threshold(self) -> float:
        """Minimum score of sufficient evidence."""
        return self.model.threshold

    @property
    def reads_vectors(self) -> bool:
        """Whether a feature comes from the encoder's vectors; else words alone decide."""
        return not {*self.model.features}.isdisjoint(VECTOR_FEATURES)

    @property
    def reads_quotes(self) -> bool:
        """Whether a feature comes from the best quote."""
        return not {*self.model.features}.isdisjoint(QUOTE_FEATURES)

    def with_threshold(self, threshold: float) -> EvidenceScale:
        return replace(self, model=replace(self.model, threshold=threshold))

    def score(self, judged: JudgedRanking) -> float:
        """Probability, 0 to 1, that the passages answer their query, and the question itself if it is a follow-up."""
        score = self.model.score(judged)
        if judged.is_follow_up and self.follow_up is not None:
            score = min(score, self.follow_up.score(judged))
        return score

    def enough(self, judged: JudgedRanking) -> bool:
        """Whether the passages are sufficient evidence."""
        if not judged.ranked or self.model.score(judged) < self.threshold:
            return False
        if not judged.is_follow_up or self.follow_up is None:
            return True
        # A threshold of 0 in domain.yaml refuses nothing.
        return self.follow_up.score(judged) >= min(self.threshold, self.follow_up.threshold)


class LabelledRanking(NamedTuple):
    """A ranking, whether its passages answer its query, and whether any document does."""

    judged: JudgedRanking
    answered: bool
    answerable: bool


def fit_scale(
    labelled: Sequence[LabelledRanking], *, vectors: bool = True, follow_up: LogisticModel | None = None
) -> EvidenceScale:
    """Fit the scale on rankings of a domain's questions, as people ask them, and choose its threshold.

    The threshold refuses at most `WRONG_REFUSALS` of the answered questions, and otherwise as many unanswerable ones
    as possible. The scale has few parameters, so its figures on the questions that it was fitted on are hardly
    optimistic. Raises ValueError unless there are both answered and other questions.

    Args:
        vectors: whether features may depend on the encoder's vectors.
        follow_up: judges follow-ups; a domain seldom has enough of them.
    """
    answered = [one.answered for one in labelled]
    if len(set(answered)) < 2:
        raise ValueError("both answered and other questions are needed to fit the evidence score")
    names = (*WORD_FEATURES, *VECTOR_FEATURES) if vectors else WORD_FEATURES
    features = feature_rows([one.judged for one in labelled], names)
    model = fit_model(names, features, answered)
    scale = EvidenceScale(model, follow_up, questions=len(labelled), answered_share=sum(answered) / len(answered))
    held_out = _cross_validated(features, answered)
    if held_out is not None:
        squares = [(score - label) ** 2 for score, label in zip(held_out, answered, strict=True)]
        scale = replace(
            scale, brier=sum(squares) / len(squares), calibration_error=calibration_error(held_out, answered)
        )
    return _with_figures(scale, labelled)


def _with_figures(scale: EvidenceScale, labelled: Sequence[LabelledRanking]) -> EvidenceScale:
    """The scale with its threshold chosen on these rankings, and its refusals among them. Needs an answered one."""
    answered = sorted(scale.model.score(one.judged) for one in labelled if one.answered)
    unanswerable = [scale.model.score(one.judged) for one in labelled if not one.answerable]
    threshold = _threshold(answered, unanswerable)
    return replace(
        scale.with_threshold(threshold),
        questions=len(labelled),
        wrong_refusals=_share_below(answered, threshold),
        right_refusals=_share_below(unanswerable, threshold) if unanswerable else None,
    )


def calibration_error(scores: Sequence[float], answered: Sequence[bool]) -> float:
    """Expected calibration error (Guo et al. 2017) over ten bins of equal width.

    Raises ValueError if there are no scores, or not one label per score.
    """
    if not scores or len(scores) != len(answered):
        raise ValueError(f"{len(scores)} scores with {len(answered)} labels; expected as many, and at least one")
    gaps = [0.0] * BINS
    for score, label in zip(scores, answered, strict=True):
        gaps[min(BINS - 1, int(score * BINS))] += score - label
    return sum(map(abs, gaps)) / len(scores)


def feature_rows(judged: Sequence[JudgedRanking], names: Sequence[str]) -> NDArray[np.float64]:
    """`[rankings, features]`; zeros where nothing was found."""
    import numpy as np

    rows = [[one.features.get(name, 0.0) if one.ranked else 0.0 for name in names] for one in judged]
    return np.array(rows, dtype=np.float64).reshape(len(judged), len(names))


def fit_model(
    names: Sequence[str],
    features: NDArray[np.float64],
    answered: Sequence[bool],
    weights: Sequence[float] | None = None,
) -> LogisticModel:
    """Fit a logistic regression to feature rows `[rankings, features]`, with a threshold of 0.5.

    Features are standardised, so that the penalty treats them alike. `weights` are those of the rankings.
    """
    from sklearn.linear_model import LogisticRegression

    mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-9
    model: Any = LogisticRegression(C=1.0, max_iter=2000)
    model.fit((features - mean) / deviation, list(answered), sample_weight=weights)
    fitted = model.coef_[0] / deviation
    return LogisticModel(tuple(names), tuple(fitted.tolist()), float(model.intercept_[0] - fitted @ mean), 0.5)


def _cross_validated(features: NDArray[np.float64], answered: Sequence[bool]) -> list[float] | None:
    """`[questions]`, scores by scales fitted on the other folds; None if a class has fewer questions than folds."""
    import numpy as np
    from sklearn.model_selection import StratifiedKFold

    labels = np.array(answered, dtype=bool)
    if min(int(labels.sum()), int((~labels).sum())) < _FOLDS:
        return None
    scores = np.zeros(len(labels))
    for train, held_out in StratifiedKFold(_FOLDS, shuffle=True, random_state=0).split(features, labels):
        model = fit_model([""] * features.shape[1], features[train], labels[train].tolist())
        scores[held_out] = 1 / (
            1 + np.exp(-np.clip(features[held_out] @ np.array(model.weights) + model.bias, -60, 60))
        )
    found: list[float] = scores.tolist()
    return found


def _threshold(answered: Sequence[float], unanswerable: Sequence[float]) -> float:
    """The threshold that refuses most unanswerable questions within the limit on wrong refusals."""
    highest = answered[min(len(answered) - 1, int(WRONG_REFUSALS * len(answered)))]
    below = [score for score in unanswerable if score < highest]
    if not below:
        return highest if not unanswerable else highest * 0.999
    # No unanswerable question scores between the two, so the middle leaves a margin on both sides.
    return (highest + max(below)) / 2


def _share_below(scores: Sequence[float], threshold: float) -> float:
    return sum(score < threshold for score in scores) / len(scores)
