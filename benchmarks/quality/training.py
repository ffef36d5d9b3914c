"""Training for a fixed number of CPU seconds, the same for every system.

CPU seconds of the process on its one thread are not affected by other work on the machine. The learning rate warms up
over ten steps and then falls as a cosine of the time spent.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.quality.settings import BATCH
from soft_prompt.training.schedule import epoch_batches

WARMUP_STEPS, CLIP = 10, 1.0


@dataclass(frozen=True, slots=True)
class TrainingSummary:
    """CPU seconds, steps, epochs, and the mean loss per answer token of the last 20 steps, in nats."""

    seconds: float
    steps: int
    epochs: float
    loss: float


def train_for(
    seconds: float,
    lengths: Sequence[int],
    loss_of: Callable[[list[int], int], tuple[Tensor, int]],
    groups: Sequence[tuple[Sequence[Tensor], float]],
    seed: int,
    *,
    epochs: int | None = None,
    batch_size: int = BATCH,
) -> TrainingSummary:
    """Train until the time is spent.

    Args:
        seconds: CPU seconds, including the time to read contexts.
        lengths: of the examples; examples of similar length form a batch.
        loss_of: from the examples of a batch and the step to the summed loss and the number of answer tokens.
        groups: trained tensors with their peak learning rate.
        seed: of the order of examples.
        epochs: maximum number of epochs.
        batch_size: examples per step.
    """
    trained = [tensor for tensors, _ in groups for tensor in tensors]
    optimizer = torch.optim.AdamW([{"params": list(ts), "lr": lr} for ts, lr in groups], weight_decay=0.0)
    start, step, losses = time.process_time(), 0, list[float]()
    epoch, batches = 0, epoch_batches(lengths, batch_size, seed, 0)

    def progress() -> float:
        """Share of the time or of the epochs that is spent, whichever is larger."""
        by_epoch = step / (epochs * len(batches)) if epochs else 0.0
        return max(by_epoch, (time.process_time() - start) / seconds)

    while (done := progress()) < 1:
        position = step - epoch * len(batches)
        if position == len(batches):
            epoch, position = epoch + 1, 0
            batches = epoch_batches(lengths, batch_size, seed, epoch)
        factor = min(1.0, (step + 1) / WARMUP_STEPS) * 0.5 * (1 + math.cos(math.pi * done))
        for group, (_, peak) in zip(optimizer.param_groups, groups, strict=True):
            group["lr"] = peak * factor
        optimizer.zero_grad(set_to_none=True)
        total, tokens = loss_of(batches[position], step)
        torch.autograd.backward(total / tokens)
        torch.nn.utils.clip_grad_norm_(trained, CLIP)
        optimizer.step()
        losses.append(float(total.detach()) / tokens)
        step += 1
    last = losses[-20:]
    return TrainingSummary(time.process_time() - start, step, step / len(batches), sum(last) / max(1, len(last)))
