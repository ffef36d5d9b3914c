"""Charts, as SVG text for an HTML page or as a figure.

Shapes and labels tell the series apart, so that the charts can be read in print and by colour-blind readers; the
colours are those of Okabe and Ito (2008).
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from softgraft.terminal import visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, ORANGE = "#0072B2", "#D55E00"


def interval_chart(rows: Sequence[tuple[str, float, float, float]], label: str) -> str:
    """A point with its interval for each row of name, mean, low and high; the first row on top."""
    figure, axes = _new(6.5, 0.7 + 0.3 * len(rows))
    places = list(range(len(rows)))[::-1]
    means = [mean for _, mean, _, _ in rows]
    errors = np.array([(mean - low, high - mean) for _, mean, low, high in rows]).T
    axes.errorbar(means, places, xerr=np.clip(errors, 0, None), fmt="o", color=BLUE, capsize=3)
    axes.set_yticks(places, [visible(name) for name, *_ in rows])
    axes.set_xlim(0, 1)
    axes.set_xlabel(label)
    axes.grid(axis="x", alpha=0.3)
    return _svg(figure)


def loss_chart(steps: Sequence[tuple[int, float]], epochs: Sequence[tuple[float, float]]) -> str:
    """The training loss of each step as a line, and the dev loss of each scored epoch as squares."""
    figure, axes = _new(6.5, 3.2)
    if steps:
        axes.plot(*zip(*steps, strict=True), color=BLUE, linewidth=0.9, label="train, each step")
    if epochs:
        axes.plot(*zip(*epochs, strict=True), color=ORANGE, marker="s", linestyle="--", label="dev, each epoch")
    axes.set_xlabel("step")
    axes.set_ylabel("loss (nats per answer token)")
    axes.legend()
    return _svg(figure)


def curve_chart(lines: Sequence[tuple[str, Sequence[tuple[int, float, float, float]]]], level: float | None) -> str:
    """Token F1 by labels, with its interval: one line for each start, each with a marker of its own.

    Args:
        lines: name, and labels, mean, low and high of each point.
        level: of the quote, as a dotted line.
    """
    figure, axes = _new(6.5, 3.2)
    for number, (name, points) in enumerate(lines):
        labels, means = [point[0] for point in points], [point[1] for point in points]
        errors = np.array([(mean - low, high - mean) for _, mean, low, high in points]).T
        style = {"color": (BLUE, ORANGE)[number % 2], "marker": "os^"[number % 3], "linestyle": ("-", "--")[number % 2]}
        axes.errorbar(labels, means, yerr=np.clip(errors, 0, None), capsize=3, label=visible(name), **style)
    if level is not None:
        axes.axhline(level, color="black", linestyle=":", label="quote")
    axes.set_ylim(0, 1)
    axes.set_xlabel("train questions")
    axes.set_ylabel("token F1 (95% interval)")
    axes.grid(axis="y", alpha=0.3)
    axes.legend()
    return _svg(figure)


def matrix_chart(rows: Sequence[str], columns: Sequence[str], values: Sequence[Sequence[float]], label: str) -> str:
    """`matrix_figure` as SVG."""
    return _svg(matrix_figure(rows, columns, values, label))


def matrix_figure(rows: Sequence[str], columns: Sequence[str], values: Sequence[Sequence[float]], label: str) -> Figure:
    """A heat map in shades of one colour, with the value in each cell; `label` names the columns."""
    figure, axes = _new(2.2 + 0.9 * len(columns), 1.0 + 0.4 * len(rows))
    grid = np.array(values, dtype=np.float64)
    axes.imshow(grid, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(columns)), [visible(name) for name in columns])
    axes.set_yticks(range(len(rows)), [visible(name) for name in rows])
    axes.set_xlabel(label)
    for y, x in np.ndindex(*grid.shape):
        axes.text(x, y, f"{grid[y, x]:.2f}", ha="center", va="center", color="white" if grid[y, x] > 0.6 else "black")
    return figure


def _new(width: float, height: float) -> tuple[Figure, Any]:
    # The object interface leaves the global backend and the figures of the caller alone.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def _svg(figure: Figure) -> str:
    """The figure as an SVG element. The same figure always gives the same text."""
    import matplotlib
    from matplotlib.text import Text

    buffer = io.StringIO()
    # A name with dollar signs is no formula.
    for shown in figure.findobj(Text):
        shown.set_parse_math(False)
    with matplotlib.rc_context({"svg.hashsalt": "softgraft", "svg.fonttype": "none", "text.parse_math": False}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
