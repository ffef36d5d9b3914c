"""How likely ranked passages answer their query: a logistic scale over what the rankings say.

Cosine and BM25 mean different things in different domains; the scale is fitted on questions of the domain, so that
one number says "nothing here fits", and its threshold is chosen on questions that the fit has not seen.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from retrieval.documents import RankedPassage
from retrieval.errors import RetrievalError

FEATURES = ("best_cosine", "mean_cosine", "best_sentence", "best_coverage", "log_bm25")
# At most this share of answerable dev questions may fall under the threshold.
WRONG_REFUSALS = 0.05


@dataclass(frozen=True, slots=True)
class EvidenceScale:
    """Weights of the features, a bias, and the threshold below which evidence counts as none.

    `questions` and `wrong_refusals`, `right_refusals` say what the threshold was chosen on and what it does there.
    """

    weights: tuple[float, ...]
    bias: float
    threshold: float
    questions: int
    wrong_refusals: float
    right_refusals: float | None

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
    )


Labelled = tuple[Sequence[RankedPassage], bool]


def fit_scale(train: Sequence[Labelled], dev: Sequence[Labelled]) -> EvidenceScale:
    """Fit the scale on one set of labelled rankings and choose its threshold on another.

    Args:
        train: rankings, each with whether its passages answer the query; both kinds must occur.
        dev: the same, held out. Without unanswerable ones the threshold only bounds wrong refusals.

    Raises:
        ValueError: `train` lacks one of the two kinds, or `dev` has no answerable question.
    """
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    if len({answers for _, answers in train}) < 2 or not any(answers for _, answers in dev):
        raise ValueError("both answerable and unanswerable questions are needed to fit the evidence score")
    features = np.array([evidence_features(ranked) if ranked else (0.0,) * len(FEATURES) for ranked, _ in train])
    model = LogisticRegression(class_weight="balanced", C=10.0, max_iter=2000)
    model.fit(features, np.array([answers for _, answers in train]))
    weights, bias = tuple(float(w) for w in model.coef_[0]), float(model.intercept_[0])
    loose = EvidenceScale(weights, bias, 0.0, 0, 0.0, None)
    yes = sorted(loose.score(ranked) for ranked, answers in dev if answers)
    no = [loose.score(ranked) for ranked, answers in dev if not answers]
    threshold = _threshold(yes, no)
    return EvidenceScale(
        weights=weights,
        bias=bias,
        threshold=threshold,
        questions=len(dev),
        wrong_refusals=sum(s < threshold for s in yes) / len(yes),
        right_refusals=sum(s < threshold for s in no) / len(no) if no else None,
    )


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
