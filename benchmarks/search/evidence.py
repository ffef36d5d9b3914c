"""How well the evidence score is calibrated on test, beside the balanced scale that it was before.

Calibrated: of the questions that score about 0.7, seven in ten are answered by the passages found. Where a set has no
unanswerable questions, rankings without the documents that answer stand in for them, one for each question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from benchmarks.search.data import LANGUAGES, PASSAGE_TOKENS, VIEWS, DataSet
from chains import AnswerSettings
from evaluation import Item, mean_interval, read_items
from evaluation.bootstrap import RESAMPLES
from evaluation.items import spread
from retrieval import Encoder, Index, ingest, open_index
from retrieval.ranking.evidence_score import BINS, WRONG_REFUSALS, Labelled, calibration_error, evidence_features
from softgraft.training.ranking_weights import usual_weights
from softgraft.training.retrieval_fit import calibrate, labelled_rankings

ROOT = Path(__file__).resolve().parents[2]
DOMAINS = ("bank", "clinic")
# So many questions of a large set are enough for seven numbers.
FITTED_ON = 600
# What the scale read before.
BEFORE = 5


def measure_evidence(name: str, data: Path, work: Path, encoder: Encoder, limit: int | None) -> dict[str, Any]:
    """Both scales, fitted on train and dev and judged on test; for the example domains on dev too."""
    index, train, dev, test = _opened(name, data, work, encoder, limit)
    settings = AnswerSettings(weights=usual_weights(LANGUAGES.get(name, "en"), "embedded"))
    with index:
        after = calibrate(index, settings, [*train, *dev])
        if after is None:
            raise SystemExit(f"{name}: the questions allow no evidence score. Next: a larger --limit")
        told = [labelled_rankings(index, settings, items) for items in (train, dev)]
        before, before_threshold = balanced_scale(*told)
        judged = labelled_rankings(index, settings, test)
        found = {
            "after": judge([after.score(one.ranked) for one in judged], judged, after.threshold),
            "before": judge(before(judged), judged, before_threshold),
        }
        on_dev = {
            "after": refusals([after.score(one.ranked) for one in told[1]], told[1], after.threshold),
            "before": refusals(before(told[1]), told[1], before_threshold),
        }
    stand_ins = len(judged) > len(test)
    return {
        "questions": len(judged),
        "stand_ins": stand_ins,
        "scale": asdict(after),
        **found,
        "refusals_on_dev": on_dev,
    }


def balanced_scale(train: Sequence[Labelled], dev: Sequence[Labelled]) -> tuple[Any, float]:
    """The scale of before: classes balanced, fitted on train without the questions whose answer was missed."""
    clear = [one for one in train if one.answered or not one.answerable]
    model = LogisticRegression(class_weight="balanced", C=10.0, max_iter=2000)
    model.fit(_features(clear), [one.answered for one in clear])

    def scores(labelled: Sequence[Labelled]) -> list[float]:
        found: list[float] = model.predict_proba(_features(labelled))[:, 1].tolist()
        return found

    both = [one for one in (*train, *dev) if one.answered or not one.answerable]
    rated = list(zip(scores(both), both, strict=True))
    yes = sorted(score for score, one in rated if one.answered)
    allowed = yes[min(len(yes) - 1, int(WRONG_REFUSALS * len(yes)))]
    below = [score for score, one in rated if not one.answered and score < allowed]
    return scores, (allowed + max(below)) / 2 if below else allowed * 0.999


def judge(scores: Sequence[float], labelled: Sequence[Labelled], threshold: float) -> dict[str, Any]:
    """Calibration on some questions, and what the threshold does there; so does a threshold of 0.5."""
    given, answered = np.array(scores), np.array([one.answered for one in labelled], dtype=bool)
    sure = given >= 0.5
    brier = mean_interval(((given - answered) ** 2).tolist())
    return {
        "calibration_error": error_interval(given, answered),
        "brier": asdict(brier) if brier is not None else None,
        "mean_score": float(given.mean()),
        "answered_share": float(answered.mean()),
        "answered_of_those_above_half": float(answered[sure].mean()) if sure.any() else None,
        "reliability": reliability(given, answered),
        "refusals": refusals(scores, labelled, threshold),
        "refusals_at_half": refusals(scores, labelled, 0.5),
    }


def refusals(scores: Sequence[float], labelled: Sequence[Labelled], threshold: float) -> dict[str, Any]:
    """Shares refused: of the answered questions (wrong) and of the unanswerable ones (right)."""
    wrong = [score < threshold for score, one in zip(scores, labelled, strict=True) if one.answered]
    right = [score < threshold for score, one in zip(scores, labelled, strict=True) if not one.answerable]
    return {
        "threshold": threshold,
        "wrong": sum(wrong) / len(wrong) if wrong else None,
        "right": sum(right) / len(right) if right else None,
    }


def error_interval(scores: NDArray[np.float64], answered: NDArray[np.bool_]) -> dict[str, float]:
    """The calibration error with its bootstrap interval, over questions.

    A few hundred questions in ten bins show some error by chance, and a resample shows more; the interval is the basic
    one (Davison and Hinkley 1997, 5.2), which takes that off, and does not fall below 0.
    """
    rng = np.random.default_rng(0)
    bins = np.minimum((scores * BINS).astype(int), BINS - 1)
    gaps = scores - answered
    mean = calibration_error(scores.tolist(), answered.tolist())
    found = []
    for _ in range(RESAMPLES // 5):
        chosen = rng.integers(0, len(scores), len(scores))
        found.append(np.abs(np.bincount(bins[chosen], weights=gaps[chosen], minlength=BINS)).sum() / len(scores))
    low, high = np.percentile(found, (2.5, 97.5))
    return {"mean": mean, "low": max(0.0, 2 * mean - float(high)), "high": max(0.0, 2 * mean - float(low))}


def reliability(scores: NDArray[np.float64], answered: NDArray[np.bool_]) -> list[dict[str, float]]:
    """The bins that hold questions: how many, their mean score, and the share of them that is answered."""
    bins = np.minimum((scores * BINS).astype(int), BINS - 1)
    return [
        {
            "questions": int(inside.sum()),
            "mean_score": round(float(scores[inside].mean()), 4),
            "answered": round(float(answered[inside].mean()), 4),
        }
        for n in range(BINS)
        if (inside := bins == n).any()
    ]


def _features(labelled: Sequence[Labelled]) -> NDArray[np.float64]:
    return np.array([evidence_features(one.ranked)[:BEFORE] if one.ranked else (0.0,) * BEFORE for one in labelled])


def _opened(
    name: str, data: Path, work: Path, encoder: Encoder, limit: int | None
) -> tuple[Index, list[Item], list[Item], list[Item]]:
    if name in DOMAINS:
        folder, index_dir = ROOT / "domains" / name, work / name / "index"
        ingest(folder / "docs", index_dir, encoder, max_tokens=PASSAGE_TOKENS)
        train, dev, test = (read_items(folder / f"{split}.jsonl") for split in ("train", "dev", "test"))
        return open_index(index_dir, encoder), train, dev, spread(test, limit)
    source = DataSet(VIEWS[name][0], data, work, encoder)
    kinds = ("", "_unanswerable") if source.name == "mtrag" else ("",)
    train, dev, test = (
        [item for kind in kinds for item in source.items(split, kind)] for split in ("train", "dev", "test")
    )
    return source.index(), spread(train, FITTED_ON // 2), spread(dev, FITTED_ON // 2), spread(test, limit)
