"""The progress and the result of a training run."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from soft_prompt.files import write_bytes
from soft_prompt.graft.prompt import SoftPrompt
from soft_prompt.training.checkpoint import EpochScore


@dataclass(frozen=True, slots=True)
class TrainStep:
    """Progress of a run, for a progress bar or a log."""

    phase: Literal["prefixes", "layers", "train", "dev"]
    done: int
    total: int
    epoch: int
    loss: float | None = None
    examples_per_second: float | None = None


@dataclass(frozen=True)
class TrainResult:
    """A finished run.

    Attributes:
        soft_prompt: of the epoch with the lowest dev loss.
        start_loss, dev_loss: dev loss of the start and of `soft_prompt`, in nats per answer token.
        best_epoch: the epoch of `soft_prompt`; 0 is the start.
        scores: of the start and of every epoch.
        losses: of every step, in nats per answer token.
        seconds: duration of the run, without the time between a stop and a resumption.
        micro_batch: examples per forward pass, in each of the `processes`.
        domain_accuracies: for `adversarial`: the accuracy of the domain classifier in every step, in which every domain
            counts the same.
    """

    soft_prompt: SoftPrompt
    start_loss: float
    dev_loss: float
    best_epoch: int
    scores: tuple[EpochScore, ...]
    losses: tuple[float, ...]
    seconds: float
    resumed: bool
    micro_batch: int
    processes: int
    domain_accuracies: tuple[float, ...] = ()


def save_loss_curve(result: TrainResult, path: Path, title: str) -> None:
    """Plot the loss of every step and the dev loss of every epoch to a PNG file."""
    # The object interface leaves the global backend and the figures of the caller alone.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4))
    # Fixed margins: computing them takes longer than drawing.
    axes = figure.add_axes((0.1, 0.13, 0.87, 0.78))
    steps = len(result.losses)
    axes.plot(range(1, steps + 1), result.losses, linewidth=0.8, alpha=0.6, label="train, each step")
    last_epoch = result.scores[-1].epoch or 1
    epochs, losses = zip(*((score.epoch * steps / last_epoch, score.dev_loss) for score in result.scores), strict=True)
    axes.plot(epochs, losses, marker="o", label="dev, each epoch")
    axes.set(xlabel="step", ylabel="loss (nats per answer token)", title=title)
    axes.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    write_bytes(path, buffer.getvalue())
