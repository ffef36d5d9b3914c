"""Training for so many seconds of the processor, the same for every system.

Seconds are the process's own time on its one thread, so that other work on the machine takes nothing from anybody. The
learning rate warms up over ten steps and then falls as a cosine of the time that is spent.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from soft_prompt.training.schedule import epoch_batches

BATCH, WARMUP, CLIP = 8, 10, 1.0


@dataclass(frozen=True, slots=True)
class Trained:
    """How a training went: processor seconds, steps, epochs, and the mean loss an answer token of the last 20 steps."""

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
    dev_loss: Callable[[], float] | None = None,
    keep: Callable[[], None] | None = None,
    epochs: int | None = None,
    batch_size: int = BATCH,
) -> Trained:
    """Descend until the time is spent.

    Args:
        seconds: of the processor, everything counted: reading contexts, steps, and looking at dev.
        lengths: of the examples, so that those of like length are put together.
        loss_of: summed loss of the examples with these numbers at this step, and how many tokens it is summed over.
        groups: what is trained, each with its highest learning rate.
        seed: of the order of examples.
        dev_loss: looked at after each epoch; `keep` is called where it is the least so far, and where none is given or
            no epoch was finished, at the end.
        epochs: stop after so many, however much time is left.
        batch_size: examples a step.
    """
    trained = [tensor for tensors, _ in groups for tensor in tensors]
    optimizer = torch.optim.AdamW([{"params": list(ts), "lr": lr} for ts, lr in groups], weight_decay=0.0)
    began, step, losses, best = time.process_time(), 0, [], math.inf

    def share() -> float:
        """Of the time, or of the epochs, what is further."""
        by_epoch = step / (epochs * len(batches)) if epochs else 0.0
        return max(by_epoch, (time.process_time() - began) / seconds)

    epoch, batches = 0, epoch_batches(lengths, batch_size, seed, 0)
    while (done := share()) < 1:
        position = step - epoch * len(batches)
        if position == len(batches):
            epoch, batches = epoch + 1, epoch_batches(lengths, batch_size, seed, epoch + 1)
            if dev_loss is not None and (loss := dev_loss()) < best:
                best = loss
                if keep is not None:
                    keep()
            continue
        factor = min(1.0, (step + 1) / WARMUP) * 0.5 * (1 + math.cos(math.pi * done))
        for group, (_, peak) in zip(optimizer.param_groups, groups, strict=True):
            group["lr"] = peak * factor
        optimizer.zero_grad(set_to_none=True)
        total, tokens = loss_of(batches[position], step)
        torch.autograd.backward(total / tokens)
        torch.nn.utils.clip_grad_norm_(trained, CLIP)
        optimizer.step()
        losses.append(float(total.detach()) / tokens)
        step += 1
    if keep is not None and (dev_loss is None or dev_loss() < best):
        keep()
    last = losses[-20:]
    return Trained(time.process_time() - began, step, step / len(batches), sum(last) / max(1, len(last)))
