"""What a person sees: progress bars and messages on standard error, answers and tables on standard output."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    from evaluation import Estimate, Report
    from retrieval import IngestProgress
    from soft_prompt import TrainStep
from typing import Annotated

import typer

# A pipe or a file has no width of its own, and eighty columns would break every table.
_PLAIN_WIDTH = 120
out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _PLAIN_WIDTH)
err = Console(stderr=True, highlight=False, soft_wrap=True, width=None if sys.stderr.isatty() else _PLAIN_WIDTH)


def say_error(error: Any) -> None:
    """An error of this project in three lines."""
    err.print(f"[bold red]error:[/] {escape(error.found)}")
    err.print(f"  expected: {escape(error.expected)}")
    err.print(f"  next:     {escape(error.next_step)}")


def print_json(data: Any) -> None:
    """One JSON object on standard output."""
    sys.stdout.write(json.dumps(data, ensure_ascii=False, indent=1) + "\n")


@contextmanager
def bars(show: bool) -> Iterator[Callable[[str, int, int, str], None]]:
    """Progress bars: call the given function with a name, what is done, the whole, and a remark."""
    with Progress(
        TextColumn("{task.description:<22}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[remark]}"),
        console=err,
        disable=not show,
    ) as progress:
        tasks: dict[str, Any] = {}

        def tell(name: str, done: int, total: int, remark: str = "") -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=total, remark=remark)
            progress.update(tasks[name], completed=done, total=total, remark=remark)

        yield tell


Tell = Callable[[str, int, int, str], None]


def on_ingest(tell: Tell) -> Callable[[IngestProgress], None]:
    """Shows an ingest."""

    def show(p: IngestProgress) -> None:
        rate = f"{p.documents / p.seconds:,.1f} documents/s" if p.documents and p.seconds else ""
        tell(p.stage, p.done, p.total, rate if p.stage in {"reading", "embedding"} else "")

    return show


def on_train(tell: Tell) -> Callable[[TrainStep], None]:
    """Shows a training run."""
    names = {
        "prefixes": "reading passages",
        "layers": "running the layers below",
        "train": "training",
        "dev": "checking on dev",
    }

    def show(step: TrainStep) -> None:
        remark = ""
        if step.loss is not None:
            remark = f"epoch {step.epoch}  loss {step.loss:.2f}"
            if step.examples_per_second:
                remark += f"  {step.examples_per_second:.1f} examples/s"
        tell(names[step.phase], step.done, step.total, remark)

    return show


def report_table(report: Report) -> Table:
    """The table of an evaluation."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("system", "accuracy", "exact", "token F1 (95%)", "refused", "wrongly", "citations", "seconds"):
        table.add_column(name, justify="left" if name == "system" else "right")
    for row in report.rows:
        table.add_row(
            row.system,
            _mean(row.accuracy),
            _mean(row.exact_match),
            _interval(row.token_f1),
            _number(row.refusal_accuracy),
            _number(row.wrong_refusals),
            _number(row.citation_precision),
            f"{row.seconds_per_answer:.2f}",
        )
    return table


def report_lines(report: Report) -> list[str]:
    """What the table does not show: retrieval, and paired differences."""
    lines = [
        "refused: share of the questions without an answer that are refused; wrongly: of those with one; "
        "citations: share that stand where the answer does; seconds: an answer"
    ]
    if (scores := report.retrieval) is not None:
        lines.append(
            f"retrieval over {scores.questions} questions: recall@1 {scores.recall_at_1:.3f}, "
            f"recall@5 {scores.recall_at_5:.3f}, nDCG@10 {scores.ndcg_at_10:.3f}"
        )
    for found in report.comparisons:
        ratio = f", {found.token_f1_ratio:.2f} times" if found.token_f1_ratio else ""
        lines.append(f"{found.ours} minus {found.theirs}: token F1 {_interval(found.token_f1)}{ratio}")
    return lines


def _mean(found: Estimate | None) -> str:
    return "-" if found is None else f"{found.mean:.3f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _interval(found: Estimate | None) -> str:
    return "-" if found is None else f"{found.mean:.3f} ({found.low:.3f} to {found.high:.3f})"


Name = Annotated[str, typer.Argument(metavar="DOMAIN", help="A name under domains/, or a path.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output and no progress.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Use only so many questions, spread over the file.")]
