"""Training for a fixed number of CPU seconds, the same for every system.

CPU seconds of the process on its one thread are not affected by other work on the machine. The learning rate warms up
over ten steps and then falls as a cosine of the time spent.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count

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
) -> TrainingSummary:
    """Train until the time is spent.

    Args:
        seconds: CPU seconds, including the time to read contexts.
        lengths: of the examples; examples of similar length form a batch.
        loss_of: from the examples of a batch and the step to the summed loss and the number of answer tokens.
        groups: trained tensors with their peak learning rate.
        seed: of the order of examples.
    """
    trained = [tensor for tensors, _ in groups for tensor in tensors]
    optimizer = torch.optim.AdamW([{"params": list(ts), "lr": lr} for ts, lr in groups], weight_decay=0.0)
    batches = (batch for epoch in count() for batch in epoch_batches(lengths, BATCH, seed, epoch))
    start, step, examples, losses = time.process_time(), 0, 0, list[float]()
    while (done := (time.process_time() - start) / seconds) < 1:
        factor = min(1.0, (step + 1) / WARMUP_STEPS) * 0.5 * (1 + math.cos(math.pi * done))
        for group, (_, peak) in zip(optimizer.param_groups, groups, strict=True):
            group["lr"] = peak * factor
        optimizer.zero_grad(set_to_none=True)
        batch = next(batches)
        total, tokens = loss_of(batch, step)
        torch.autograd.backward(total / tokens)
        torch.nn.utils.clip_grad_norm_(trained, CLIP)
        optimizer.step()
        losses.append(float(total.detach()) / tokens)
        step, examples = step + 1, examples + len(batch)
    last = losses[-20:]
    loss = sum(last) / max(1, len(last))
    return TrainingSummary(time.process_time() - start, step, examples / len(lengths), loss)
