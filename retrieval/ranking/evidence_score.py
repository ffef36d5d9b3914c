"""How likely ranked passages answer their query: a logistic scale over what the rankings say.

Cosine and BM25 mean different things in different domains; the scale is fitted on questions of the domain, so that one
number says "nothing here fits". It is a probability: of questions like those that it was fitted on, about seven in ten
that score 0.7 are answered by their passages. So the classes are not balanced, and a question whose passages miss an
answer that the documents hold counts as not answered.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from retrieval.documents import RankedPassage
from retrieval.errors import RetrievalError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FEATURES = ("best_cosine", "mean_cosine", "best_sentence", "best_coverage", "log_bm25", "lead")
# At most this share of answerable dev questions may fall under the threshold.
WRONG_REFUSALS = 0.05
BINS = 10
# A best passage that leads by this much leads by enough: more says nothing, and would outweigh all else.
_LEAD = 0.2
_FOLDS = 5


@dataclass(frozen=True, slots=True)
class EvidenceScale:
    """Weights of the features, a bias, and the threshold below which evidence counts as none.

    `questions` and `wrong_refusals`, `right_refusals` say what it was fitted on and what the threshold does there;
    `answered_share` is how many of them have passages that answer them, which a probability rests on. `brier` and
    `calibration_error` are measured there in five folds, each scored by a scale that was fitted on the others; None
    where there are too few questions.
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
        """Probability, 0 to 1, that the passages answer their query; 0 where there are none."""
        if not ranked:
            return 0.0
        total = self.bias + sum(w * x for w, x in zip(self.weights, evidence_features(ranked), strict=True))
        return 1 / (1 + math.exp(-max(-60.0, min(60.0, total))))

    def enough(self, ranked: Sequence[RankedPassage]) -> bool:
        """Whether the passages count as evidence."""
        return bool(ranked) and self.score(ranked) >= self.threshold


def evidence_features(ranked: Sequence[RankedPassage]) -> tuple[float, ...]:
    """The features of one ranking, as `FEATURES` names them."""
    cosines = [entry.dense for entry in ranked[:3]]
    return (
        max(entry.dense for entry in ranked),
        sum(cosines) / len(cosines),
        max(entry.sentence for entry in ranked),
        max(entry.coverage for entry in ranked),
        math.log1p(max(entry.bm25 for entry in ranked)),
        min(_LEAD, ranked[0].score - ranked[1].score) if len(ranked) > 1 else 0.0,
    )


class Labelled(NamedTuple):
    """A ranking, whether its passages answer its query, and whether the documents do."""

    ranked: Sequence[RankedPassage]
    answered: bool
    answerable: bool


def fit_scale(labelled: Sequence[Labelled]) -> EvidenceScale:
    """Fit the scale, and choose its threshold.

    The threshold may lose one in twenty of the answered questions, and refuses what unanswerable ones that allows.
    The scale has few numbers, so questions that it was fitted on hardly flatter it.

    Args:
        labelled: rankings of a domain's own questions, in the mix that people ask. Both answered and other ones must
            occur; without unanswerable ones the threshold only bounds wrong refusals.

    Raises:
        ValueError: one of the two kinds is missing.
    """
    import numpy as np

    answered = np.array([one.answered for one in labelled], dtype=bool)
    if len(set(answered.tolist())) < 2:
        raise ValueError("both answered and other questions are needed to fit the evidence score")
    features = np.array([_features_or_zeros(one.ranked) for one in labelled])
    weights, bias = _fit(features, answered)
    loose = EvidenceScale(weights, bias, 0.0, 0, 0.0, None)
    yes = sorted(loose.score(one.ranked) for one in labelled if one.answered)
    no = [loose.score(one.ranked) for one in labelled if not one.answerable]
    threshold = _threshold(yes, no)
    held_out = _out_of_fold(features, answered)
    return EvidenceScale(
        weights=weights,
        bias=bias,
        threshold=threshold,
        questions=len(labelled),
        wrong_refusals=sum(s < threshold for s in yes) / len(yes),
        right_refusals=sum(s < threshold for s in no) / len(no) if no else None,
        answered_share=float(answered.mean()),
        brier=None if held_out is None else float(np.mean((held_out - answered) ** 2)),
        calibration_error=None if held_out is None else calibration_error(held_out.tolist(), answered.tolist()),
    )


def calibration_error(scores: Sequence[float], answered: Sequence[bool]) -> float:
    """Expected calibration error (Guo et al. 2017): |mean score - share answered| over ten equal bins, by their size.

    Raises ValueError where there is nothing to judge, or not one label a score.
    """
    if not scores or len(scores) != len(answered):
        raise ValueError(f"{len(scores)} scores with {len(answered)} labels; expected as many, and at least one")
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
    for score, label in zip(scores, answered, strict=True):
        bins[min(BINS - 1, int(score * BINS))].append((score, label))
    gaps = (abs(sum(s for s, _ in one) - sum(label for _, label in one)) for one in bins)
    return sum(gaps) / len(scores)


def _features_or_zeros(ranked: Sequence[RankedPassage]) -> tuple[float, ...]:
    return evidence_features(ranked) if ranked else (0.0,) * len(FEATURES)


def _fit(features: NDArray[np.float64], answered: NDArray[np.bool_]) -> tuple[tuple[float, ...], float]:
    """Weights and bias of a logistic regression; features are held to one scale, so that its penalty is fair."""
    from sklearn.linear_model import LogisticRegression

    middle, spread = features.mean(axis=0), features.std(axis=0) + 1e-9
    model: Any = LogisticRegression(C=1.0, max_iter=2000).fit((features - middle) / spread, answered)
    weights = model.coef_[0] / spread
    return tuple(weights.tolist()), float(model.intercept_[0] - weights @ middle)


def _out_of_fold(features: NDArray[np.float64], answered: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    """`[questions]`, each scored by a scale fitted without it; None where a fold would lack one of the two kinds."""
    import numpy as np
    from sklearn.model_selection import StratifiedKFold

    if min(int(answered.sum()), int((~answered).sum())) < _FOLDS:
        return None
    scores = np.zeros(len(answered))
    for told, held in StratifiedKFold(_FOLDS, shuffle=True, random_state=0).split(features, answered):
        weights, bias = _fit(features[told], answered[told])
        scores[held] = 1 / (1 + np.exp(-np.clip(features[held] @ np.array(weights) + bias, -60, 60)))
    return scores


def _threshold(yes: Sequence[float], no: Sequence[float]) -> float:
    """Midway in the gap that refuses most unanswerable questions while few answerable ones are lost."""
    allowed = yes[min(len(yes) - 1, int(WRONG_REFUSALS * len(yes)))]
    below = [s for s in no if s < allowed]
    if not below:
        return allowed if not no else allowed * 0.999
    # No unanswerable question lies between the two, so the middle of the gap leaves room on both sides.
    return (allowed + max(below)) / 2


def save_scale(scale: EvidenceScale, path: Path) -> None:
    """Write the scale as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.tmp")
    scratch.write_text(json.dumps({"features": FEATURES, **asdict(scale)}, indent=1), encoding="utf-8")
    scratch.replace(path)


def load_scale(path: Path) -> EvidenceScale | None:
    """The saved scale, or None where none was fitted.

    Raises:
        RetrievalError: the file cannot be read, or was fitted on other features.
    """
    if not path.is_file():
        return None
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        if tuple(raw.pop("features")) != FEATURES:
            raise ValueError("other features")
        return EvidenceScale(**{**raw, "weights": tuple(raw["weights"])})
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise RetrievalError(
            found=f"{path} is no evidence scale: {error}",
            expected="what `softgraft ingest` wrote",
            next_step=f"delete {path} and run: softgraft ingest DOMAIN",
        ) from error
