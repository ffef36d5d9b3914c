"""When a run is not worth going on with."""

from __future__ import annotations

import math
from collections.abc import Sequence

from soft_prompt.errors import DivergedError
from soft_prompt.graft.prompt import SoftPrompt
from soft_prompt.training.config import TrainConfig

WINDOW = 16
FACTOR = 1.1


def worse_than_start(losses: Sequence[float], dev_loss: float, warmup: int) -> float | None:
    """The mean loss of the last steps where it says that training only harms, else None.

    The start is what dev shows or, if that is higher, the first step, which no learning has touched yet: dev may be the
    easier of the two. Steps of the warm-up do not count, since a few bad ones there are made good.

    Args:
        losses: of every step so far, in nats an answer token.
        dev_loss: of the start.
        warmup: steps of the warm-up.
    """
    if len(losses) < warmup + WINDOW:
        return None
    mean = math.fsum(losses[-WINDOW:]) / WINDOW
    return mean if mean > FACTOR * max(dev_loss, losses[0]) else None


def diverged(loss: str, step: int, expected: str, config: TrainConfig, start: SoftPrompt) -> DivergedError:
    """What a run that diverged ends with. `loss` says what was seen at `step`, which counts from 1."""
    rates = {"learning-rate": config.learning_rate} if start.kind != "adapter" else {}
    rates |= {"adapter-learning-rate": config.adapter_learning_rate} if start.adapter else {}
    lower = "".join(f" --{name} {rate / 4:g}" for name, rate in rates.items())
    return DivergedError(
        found=f"{loss} at step {step}: training has diverged",
        expected=expected,
        next_step=f"lower the learning rate: softgraft train DOMAIN{lower}",
    )
