"""How well the evidence score is calibrated on test.

A score is calibrated if of the questions that score about 0.7, seven in ten are answered by the retrieved passages. If
a set has no unanswerable questions, it gets one ranking without the answering documents per question instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.script import ROOT
from benchmarks.search.data import PASSAGE_TOKENS, DataSet
from benchmarks.tables import estimate
from chains import AnswerSettings
from evaluation import Item, read_items
from evaluation.bootstrap import RESAMPLES
from evaluation.items import spread
from retrieval import Encoder, Index, ingest, open_index
from retrieval.ranking.evidence_score import BINS, LabelledRanking, calibration_error
from softgraft.training.retrieval_fit import calibrate, labelled_rankings, usual_weights

DOMAINS = ("bank", "clinic")
# Maximum number of questions that the scale is fitted on; it has seven parameters.
FIT_QUESTIONS = 600


def measure_evidence(name: str, data: Path, work: Path, encoder: Encoder, limit: int | None) -> dict[str, Any]:
    """The scale, fitted on train and dev and evaluated on test."""
    index, weights, train, dev, test = _open(name, data, work, encoder, limit)
    settings = AnswerSettings(weights=weights)
    with index:
        scale = calibrate(index, settings, [*train, *dev])
        if scale is None:
            raise SystemExit(f"{name}: the questions allow no evidence score. Next: choose a larger --limit")
        on_dev, on_test = (labelled_rankings(index, settings, items) for items in (dev, test))
    dev_scores, test_scores = ([scale.score(one.judged) for one in some] for some in (on_dev, on_test))
    return {
        "questions": len(on_test),
        "stand_ins": len(on_test) > len(test),
        "scale": asdict(scale),
        **evaluate_scores(test_scores, on_test, scale.threshold),
        "refusals_on_dev": refusals(dev_scores, on_dev, scale.threshold),
    }


def evaluate_scores(scores: Sequence[float], labelled: Sequence[LabelledRanking], threshold: float) -> dict[str, Any]:
    """Calibration of the scores, and the refusals at the threshold."""
    values, answered = np.array(scores), np.array([one.answered for one in labelled], dtype=bool)
    sure = values >= 0.5
    return {
        "calibration_error": error_interval(values, answered),
        "brier": estimate(((values - answered) ** 2).tolist()),
        "mean_score": float(values.mean()),
        "answered_share": float(answered.mean()),
        "answered_of_those_above_half": float(answered[sure].mean()) if sure.any() else None,
        "refusals": refusals(scores, labelled, threshold),
    }


def refusals(scores: Sequence[float], labelled: Sequence[LabelledRanking], threshold: float) -> dict[str, Any]:
    """Shares refused: of the answered questions (wrong) and of the unanswerable ones (right)."""
    wrong = [score < threshold for score, one in zip(scores, labelled, strict=True) if one.answered]
    right = [score < threshold for score, one in zip(scores, labelled, strict=True) if not one.answerable]
    return {
        "threshold": threshold,
        "wrong": sum(wrong) / len(wrong) if wrong else None,
        "right": sum(right) / len(right) if right else None,
    }


def error_interval(scores: NDArray[np.float64], answered: NDArray[np.bool_]) -> dict[str, float]:
    """The expected calibration error with its bootstrap interval over questions.

    A few hundred questions in ten bins have some error even if calibrated, and a resample has more. The basic interval
    (Davison and Hinkley 1997, 5.2) corrects for that; it does not fall below 0.
    """
    rng = np.random.default_rng(0)
    bins = np.minimum((scores * BINS).astype(int), BINS - 1)
    gaps = scores - answered
    mean = calibration_error(scores.tolist(), answered.tolist())
    errors = []
    for _ in range(RESAMPLES // 5):
        drawn = rng.integers(0, len(scores), len(scores))
        errors.append(np.abs(np.bincount(bins[drawn], weights=gaps[drawn], minlength=BINS)).sum() / len(scores))
    low, high = np.percentile(errors, (2.5, 97.5))
    return {"mean": mean, "low": max(0.0, 2 * mean - float(high)), "high": max(0.0, 2 * mean - float(low))}


def _open(
    name: str, data: Path, work: Path, encoder: Encoder, limit: int | None
) -> tuple[Index, tuple[float, float], list[Item], list[Item], list[Item]]:
    """The index of a set or an example domain, its weights, and its questions of train, dev and test."""
    if name in DOMAINS:
        folder, index_folder = ROOT / "domains" / name, work / name / "index"
        ingest(folder / "docs", index_folder, encoder, max_tokens=PASSAGE_TOKENS)
        train, dev, test = (read_items(folder / f"{split}.jsonl") for split in ("train", "dev", "test"))
        return open_index(index_folder, encoder), usual_weights("en", encoder.id), train, dev, spread(test, limit)
    source = DataSet(name.removesuffix("-rewritten"), data, work, encoder)
    suffixes = ("", "_unanswerable") if source.name == "mtrag" else ("",)
    train, dev, test = (
        [item for suffix in suffixes for item in source.items(split, suffix)] for split in ("train", "dev", "test")
    )
    half = FIT_QUESTIONS // 2
    return source.index(), source.weights, spread(train, half), spread(dev, half), spread(test, limit)
