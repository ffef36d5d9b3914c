"""What `softgraft ask` and `eval` do for a domain whose task is no conversation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from softgraft.commands.screen import bars, err, out, print_json
from softgraft.errors import UsageError

if TYPE_CHECKING:
    from evaluation import Estimate
    from evaluation.report import TaskReport
    from softgraft.domain import Domain

_SHOWN = 3


def do_task(domain: Domain, text: str, thread: str | None, *, json: bool) -> None:
    """Do the task for one text: its likeliest labels, its summary or its translation.

    Raises:
        UsageError: a conversation to remember, which a task has not.
    """
    if thread is not None:
        raise UsageError(
            found=f"--thread {thread} for the task {domain.file.task}",
            expected="a conversation to remember, which this task does not have",
            next_step="leave out --thread",
        )
    with bars(not json) as tell:
        [found] = domain.work.run([text], on_fit=lambda done, total: tell("calibrating labels", done, total, ""))
    notices = domain.notices()
    if json:
        print_json({**found, "notices": notices})
        return
    if "label" in found:
        for label, probability in list(found["probabilities"].items())[:_SHOWN]:
            out.print(f"{probability:.3f}  {escape(label)}")
    else:
        out.print(escape(found["reply"]))
    for notice in notices:
        err.print(f"[yellow]note:[/] {escape(notice)}")


def evaluate_task_domain(
    domain: Domain, split: Literal["dev", "test"], limit: int | None, systems: Sequence[str] | None, *, json: bool
) -> None:
    """Compare the systems of a task and print the table."""
    with bars(not json) as tell:
        report = domain.evaluate_task(
            split=split,
            limit=limit,
            systems=systems,
            on_progress=lambda name, done, total: tell(name, done, total, ""),
        )
    if json:
        print_json(report.as_json())
        return
    out.print(_table(report))
    for found in report.comparisons:
        out.print(f"{found.ours} minus {found.theirs}: {found.score} {_interval(found.difference)}")
    out.print(f'written to {domain.build / "reports"}\nnext: softgraft ask {domain.typed} "..."')


def _table(report: TaskReport) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    names = list(report.rows[0].scores)
    for name in ("system", *(f"{name} (95%)" for name in names), "seconds"):
        table.add_column(name, justify="left" if name == "system" else "right")
    for row in report.rows:
        table.add_row(row.system, *(_interval(row.scores[name]) for name in names), f"{row.seconds:.2f}")
    return table


def _interval(found: Estimate) -> str:
    return f"{found.mean:.3f} ({found.low:.3f} to {found.high:.3f})"
