"""Bootstrap confidence intervals (Efron and Tibshirani 1993) over questions, with a fixed seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean and its 95% confidence interval."""

    mean: float
    low: float
    high: float


def mean_interval(values: Sequence[float], *, seed: int = 0) -> Estimate | None:
    """Mean of `values` (one per question) with its percentile interval; None if there are none."""
    if not values:
        return None
    data = np.asarray(values, dtype=np.float64)
    samples = np.random.default_rng(seed).integers(0, len(data), size=(RESAMPLES, len(data)))
    low, high = np.percentile(data[samples].mean(axis=1), (2.5, 97.5))
    return Estimate(float(data.mean()), float(low), float(high))


def paired_difference(ours: Sequence[float], theirs: Sequence[float], *, seed: int = 0) -> Estimate | None:
    """Mean difference of two systems on the same questions, with its interval."""
    return mean_interval([a - b for a, b in zip(ours, theirs, strict=True)], seed=seed)
