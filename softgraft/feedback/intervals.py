"""Intervals of shares, and the sign test."""

from __future__ import annotations

import math
from dataclasses import dataclass

# The 97.5% point of the normal distribution.
_Z = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Share:
    """A share and its 95% confidence interval; `share` is None if nothing was counted."""

    share: float | None
    low: float
    high: float


def wilson(successes: int, trials: int) -> Share:
    """The share of successes with its score interval (Wilson 1927), which is sound for few trials too.

    Raises ValueError if `successes` is not between 0 and `trials`.
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes of {trials} trials")
    if not trials:
        return Share(None, 0.0, 1.0)
    share, z2 = successes / trials, _Z**2
    centre = share + z2 / (2 * trials)
    half = _Z * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2))
    denominator = 1 + z2 / trials
    low = 0.0 if successes == 0 else (centre - half) / denominator
    high = 1.0 if successes == trials else (centre + half) / denominator
    return Share(share, low, high)


def sign_test(wins: int, losses: int) -> float:
    """Two-sided p-value of the exact sign test: are wins and losses equally likely? The caller leaves ties out.

    1.0 if there are neither.
    """
    trials = wins + losses
    # Whole numbers up to the division: a power of two would exceed a float.
    tail, ways = 0, 1
    for k in range(min(wins, losses) + 1):
        tail += ways
        ways = ways * (trials - k) // (k + 1)
    return min(1.0, 2 * tail / (1 << trials))
