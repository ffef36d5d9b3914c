"""Replay: batches that also hold examples of the domains that the start was trained on, so that they are not forgotten.

Rehearsal (Robins 1995). The loss is `(1 - share) * target + share * source`, each a mean per answer token, so the sizes
of the sets do not matter. With weights it is maximum entropy domain adaptation: source examples count by how likely the
target's soft prompt finds them.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

# A weight is at most this multiple of the mean, so that one example does not decide.
MAX_WEIGHT = 4.0


@dataclass(frozen=True, slots=True)
class Replay:
    """Which source examples each step replays. It depends on the seed and the step alone, so a run can resume.

    Attributes:
        pool: number of source examples.
        batch_size: target examples of a full batch, to which the replayed ones are added.
        share: of the batch that is replayed.
        anneal: whether the share falls linearly to 0 at the last step.
        steps: of the run.
    """

    pool: int
    batch_size: int
    share: float
    anneal: bool
    steps: int
    seed: int

    def share_at(self, step: int) -> float:
        """The share of a step, which counts from 0."""
        return self.share * (1 - step / self.steps) if self.anneal else self.share

    def count_at(self, step: int) -> int:
        """Number of source examples in a step.

        A share too small for one example gets one, whose weight makes up the difference (`token_weights`).
        """
        return self._rounded(self.share_at(step)) if self._rounded(self.share) else 1

    def _rounded(self, share: float) -> int:
        return round(self.batch_size * share / (1 - share))

    def chosen_at(self, step: int) -> list[int]:
        """Their indices. Every example is replayed once before one is replayed again."""
        first = sum(map(self.count_at, range(step)))
        return [self._at(position) for position in range(first, first + self.count_at(step))]

    def _at(self, position: int) -> int:
        order = list(range(self.pool))
        random.Random(f"{self.seed}-replay-{position // self.pool}").shuffle(order)
        return order[position % self.pool]


def token_weights(tokens: Sequence[int], replayed: Sequence[float | None], share: float) -> list[float]:
    """The weight of each example's tokens that gives target and source their share of a batch's summed loss.

    Args:
        tokens: of each example's answer.
        replayed: the weight of each source example among its kind; None for an example of the target.
        share: of the source in the loss.
    """
    total = sum(tokens)
    target = sum(n for n, weight in zip(tokens, replayed, strict=True) if weight is None)
    source = math.fsum(n * weight for n, weight in zip(tokens, replayed, strict=True) if weight is not None)
    if not source or not target:
        return [1.0] * len(tokens)
    return [(1 - share) * total / target if weight is None else share * weight * total / source for weight in replayed]


def likelihood_weights(losses: Sequence[float], temperature: float) -> list[float]:
    """Weights of source examples, `exp(-loss / temperature)`, clipped at `MAX_WEIGHT` and 1 on average.

    Args:
        losses: mean loss per answer token of each example under the target's soft prompt, in nats.
        temperature: the higher, the more equal are the weights.
    """
    best = min(losses)
    raw = [math.exp((best - loss) / temperature) for loss in losses]
    clipped = [min(weight * len(raw) / math.fsum(raw), MAX_WEIGHT) for weight in raw]
    return [weight * len(clipped) / math.fsum(clipped) for weight in clipped]


def effective_sample_size(weights: Sequence[float]) -> float:
    """`(sum w)^2 / sum w^2`: how many equally weighted examples would have the same variance (Kish 1965)."""
    return math.fsum(weights) ** 2 / math.fsum(weight**2 for weight in weights)
