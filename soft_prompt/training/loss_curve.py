"""The loss of a run as a picture."""

from __future__ import annotations

import io
from pathlib import Path

from soft_prompt.files import write_bytes
from soft_prompt.training.training import TrainResult


def save_loss_curve(result: TrainResult, path: Path, title: str) -> None:
    """Draw the loss of every step and the dev loss of every epoch to a PNG file."""
    # The object interface leaves the global backend and other people's figures alone.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4))
    FigureCanvasAgg(figure)
    # Margins of its own: finding them takes longer than drawing.
    axes = figure.add_axes((0.1, 0.13, 0.87, 0.78))
    steps = range(1, len(result.losses) + 1)
    axes.plot(steps, result.losses, linewidth=0.8, alpha=0.6, label="train, each step")
    last = result.scores[-1].epoch or 1
    at = [score.epoch * len(result.losses) / last for score in result.scores]
    dev = [score.dev_loss if score.dev_loss is not None else float("nan") for score in result.scores]
    axes.plot(at, dev, marker="o", label="dev, each epoch")
    axes.set_xlabel("step")
    axes.set_ylabel("loss (nats an answer token)")
    axes.set_title(title)
    axes.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    write_bytes(path, buffer.getvalue())
