"""`softgraft ask` and `eval` for domains that classify, summarise or translate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from rich.markup import escape

from softgraft.commands.console import interval, out, print_json, print_notes, progress_bars, simple_table
from softgraft.errors import UsageError

if TYPE_CHECKING:
    from evaluation.report import TaskReport
    from softgraft.domain import Domain

_SHOWN_LABELS = 3


def run_task(domain: Domain, text: str, thread: str | None, *, json: bool) -> None:
    """Print the likeliest labels, the summary or the translation of one text.

    Raises:
        UsageError: if a thread is given: these tasks have no conversation.
    """
    if thread is not None:
        raise UsageError(
            found=f"--thread {thread} with the task {domain.file.task}",
            expected="no --thread, because this task has no conversations",
            next_step="leave out --thread",
        )
    with progress_bars(not json) as progress:
        [result] = domain.work.run([text], on_fit=lambda done, total: progress("calibrating labels", done, total))
    notices = domain.notices()
    if json:
        print_json({**result, "notices": notices})
        return
    if "label" in result:
        for label, probability in list(result["probabilities"].items())[:_SHOWN_LABELS]:
            out.print(f"{probability:.3f}  {escape(label)}")
    else:
        out.print(escape(result["reply"]))
    print_notes(notices)


def evaluate_task_domain(
    domain: Domain, split: Literal["dev", "test"], limit: int | None, systems: Sequence[str] | None, *, json: bool
) -> None:
    """Compare the systems of a task and print the table."""
    with progress_bars(not json) as progress:
        report = domain.evaluate_task(split=split, limit=limit, systems=systems, on_progress=progress)
    if json:
        print_json(report.as_json())
        return
    _print_table(report)
    for comparison in report.comparisons:
        difference = interval(comparison.difference)
        out.print(f"{comparison.ours} minus {comparison.theirs}: {comparison.score} {difference}")
    out.print(f'written to {domain.build / "reports"}\nnext: softgraft ask {domain.cli_name} "..."')


def _print_table(report: TaskReport) -> None:
    scores = list(report.rows[0].scores)
    table = simple_table(["system", *(f"{name} (95%)" for name in scores), "seconds"], left=["system"])
    for row in report.rows:
        table.add_row(row.system, *(interval(row.scores[name]) for name in scores), f"{row.seconds:.2f}")
    out.print(table)
