"""The evidence score: the probability that ranked passages answer their query.

Cosine and BM25 mean different things in different domains. So a logistic regression is fitted on questions of the
domain. The score is a probability: of questions like these that score 0.7, about seven in ten are answered by their
passages. So the classes are not balanced, and a question whose passages miss an existing answer counts as not answered.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from retrieval.documents import RankedPassage
from retrieval.errors import RetrievalError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FEATURES = ("best_cosine", "mean_cosine", "best_sentence", "best_coverage", "log_bm25", "lead")
# Maximum share of answered questions that may score below the threshold.
WRONG_REFUSALS = 0.05
BINS = 10
# A larger lead of the best passage adds no information, and would outweigh all other features.
_MAX_LEAD = 0.2
_FOLDS = 5


@dataclass(frozen=True, slots=True)
class EvidenceScale:
    """The fitted logistic regression, and the threshold below which evidence does not suffice.

    Attributes:
        threshold: minimum score of sufficient evidence.
        questions: number of questions that the scale was fitted on. The following figures refer to them.
        wrong_refusals: share of answered questions below the threshold.
        right_refusals: share of unanswerable questions below the threshold; None if there are none.
        answered_share: share of questions that their passages answer.
        brier: Brier score in five-fold cross-validation; None if there are too few questions.
        calibration_error: expected calibration error in the same cross-validation.
    """

    weights: tuple[float, ...]
    bias: float
    threshold: float
    questions: int
    wrong_refusals: float
    right_refusals: float | None
    answered_share: float | None = None
    brier: float | None = None
    calibration_error: float | None = None

    def score(self, ranked: Sequence[RankedPassage]) -> float:
        """Probability, 0 to 1, that the passages answer their query; 0 without passages."""
        if not ranked:
            return 0.0
        total = self.bias + sum(w * x for w, x in zip(self.weights, evidence_features(ranked), strict=True))
        return 1 / (1 + math.exp(-max(-60.0, min(60.0, total))))

    def enough(self, ranked: Sequence[RankedPassage]) -> bool:
        """Whether the passages are sufficient evidence."""
        return bool(ranked) and self.score(ranked) >= self.threshold


def evidence_features(ranked: Sequence[RankedPassage]) -> tuple[float, ...]:
    """The features of one ranking, in the order of `FEATURES`."""
    cosines = [entry.dense for entry in ranked[:3]]
    return (
        max(entry.dense for entry in ranked),
        sum(cosines) / len(cosines),
        max(entry.sentence for entry in ranked),
        max(entry.coverage for entry in ranked),
        math.log1p(max(entry.bm25 for entry in ranked)),
        min(_MAX_LEAD, ranked[0].score - ranked[1].score) if len(ranked) > 1 else 0.0,
    )


class LabelledRanking(NamedTuple):
    """A ranking, whether its passages answer its query, and whether any document does."""

    ranked: Sequence[RankedPassage]
    answered: bool
    answerable: bool


def fit_scale(labelled: Sequence[LabelledRanking]) -> EvidenceScale:
    """Fit the scale on rankings of a domain's questions, as people ask them, and choose its threshold.

    The threshold refuses at most `WRONG_REFUSALS` of the answered questions, and otherwise as many unanswerable ones
    as possible. The scale has few parameters, so its figures on the questions that it was fitted on are hardly
    optimistic. Raises ValueError unless there are both answered and other questions.
    """
    import numpy as np

    answered = np.array([one.answered for one in labelled], dtype=bool)
    if len(set(answered.tolist())) < 2:
        raise ValueError("both answered and other questions are needed to fit the evidence score")
    no_features = (0.0,) * len(FEATURES)
    features = np.array([evidence_features(one.ranked) if one.ranked else no_features for one in labelled])
    weights, bias = _fit(features, answered)
    scale = EvidenceScale(weights, bias, 0.0, 0, 0.0, None)
    answered_scores = sorted(scale.score(one.ranked) for one in labelled if one.answered)
    unanswerable_scores = [scale.score(one.ranked) for one in labelled if not one.answerable]
    threshold = _threshold(answered_scores, unanswerable_scores)
    held_out = _cross_validated(features, answered)
    return replace(
        scale,
        threshold=threshold,
        questions=len(labelled),
        wrong_refusals=_share_below(answered_scores, threshold),
        right_refusals=_share_below(unanswerable_scores, threshold) if unanswerable_scores else None,
        answered_share=float(answered.mean()),
        brier=None if held_out is None else float(np.mean((held_out - answered) ** 2)),
        calibration_error=None if held_out is None else calibration_error(held_out.tolist(), answered.tolist()),
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


def _fit(features: NDArray[np.float64], answered: NDArray[np.bool_]) -> tuple[tuple[float, ...], float]:
    """Weights and bias of a logistic regression. Features are standardised, so that the penalty treats them alike."""
    from sklearn.linear_model import LogisticRegression

    mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-9
    model: Any = LogisticRegression(C=1.0, max_iter=2000).fit((features - mean) / deviation, answered)
    weights = model.coef_[0] / deviation
    return tuple(weights.tolist()), float(model.intercept_[0] - weights @ mean)


def _cross_validated(features: NDArray[np.float64], answered: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    """`[questions]`, scores by scales fitted on the other folds; None if a class has fewer questions than folds."""
    import numpy as np
    from sklearn.model_selection import StratifiedKFold

    if min(int(answered.sum()), int((~answered).sum())) < _FOLDS:
        return None
    scores = np.zeros(len(answered))
    for train, held_out in StratifiedKFold(_FOLDS, shuffle=True, random_state=0).split(features, answered):
        weights, bias = _fit(features[train], answered[train])
        scores[held_out] = 1 / (1 + np.exp(-np.clip(features[held_out] @ np.array(weights) + bias, -60, 60)))
    return scores


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


def save_scale(scale: EvidenceScale, path: Path) -> None:
    """Write the scale as JSON, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps({"features": FEATURES, **asdict(scale)}, indent=1), encoding="utf-8")
    temporary.replace(path)


def load_scale(path: Path) -> EvidenceScale | None:
    """The saved scale; None if there is none. Raises RetrievalError if the file is not one of this release."""
    if not path.is_file():
        return None
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        if tuple(raw.pop("features")) != FEATURES:
            raise ValueError("other features")
        return EvidenceScale(**{**raw, "weights": tuple(raw["weights"])})
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise RetrievalError(
            found=f"{path} is not a valid evidence scale: {error}",
            expected="the file that `softgraft ingest` wrote",
            next_step=f"delete {path} and run: softgraft ingest DOMAIN",
        ) from error
