"""`softgraft eval`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from softgraft.commands.console import (
    DomainArgument,
    JsonOption,
    LimitOption,
    open_domain,
    out,
    print_json,
    progress_bars,
    simple_table,
)

if TYPE_CHECKING:
    from rich.table import Table

    from evaluation import Estimate, Report
    from evaluation.report import TaskReport
    from softgraft.domain import Domain


def evaluate_command(
    domain: DomainArgument,
    json: JsonOption = False,
    limit: LimitOption = None,
    split: Annotated[Literal["dev", "test"], typer.Option(help="Questions to use.")] = "test",
    systems: Annotated[str | None, typer.Option(help="Systems to compare, such as text-twin,soft.")] = None,
) -> None:
    """Compare systems on held-out questions.

    The systems: no retrieval, template, text twin, soft prompt, and soft prompt with the right passage.

    Example: `softgraft eval bank --json > bank.json`
    """
    names = [name.strip() for name in systems.split(",")] if systems is not None else None
    opened = open_domain(domain)
    if opened.file.text_task is not None:
        _evaluate_task(opened, split, limit, names, json=json)
        return
    with progress_bars(not json) as progress:
        report = opened.evaluate(split=split, limit=limit, systems=names, on_progress=progress)
    if json:
        print_json(report.as_json())
        return
    out.print(report_table(report))
    for line in report_lines(report):
        out.print(line)
    out.print(f"written to {opened.build / 'reports'}\nnext: softgraft chat {domain}")


def report_table(report: Report) -> Table:
    """The table of an evaluation."""
    columns = ["system", "accuracy", "exact", "token F1 (95%)", "refused", "wrongly", "citations", "seconds"]
    table = simple_table(columns, left=["system"])
    for row in report.rows:
        table.add_row(
            row.system,
            _number(row.accuracy.mean if row.accuracy else None),
            _number(row.exact_match.mean if row.exact_match else None),
            interval(row.token_f1),
            _number(row.refusal_accuracy),
            _number(row.wrong_refusals),
            _number(row.citation_precision),
            f"{row.seconds_per_answer:.2f}",
        )
    return table


def report_lines(report: Report) -> list[str]:
    """What the table does not show: its columns' meaning, the retrieval scores, and the paired differences."""
    lines = [
        "refused: share of the questions without an answer that were refused; wrongly: the same for questions with an "
        "answer; citations: share that contain the answer; seconds: per answer"
    ]
    if (scores := report.retrieval) is not None:
        lines.append(
            f"retrieval over {scores.questions} questions: recall@1 {scores.recall_at_1:.3f}, "
            f"recall@5 {scores.recall_at_5:.3f}, nDCG@10 {scores.ndcg_at_10:.3f}"
        )
    for comparison in report.comparisons:
        ratio = f", {comparison.token_f1_ratio:.2f} times" if comparison.token_f1_ratio else ""
        difference = interval(comparison.token_f1)
        lines.append(f"{comparison.ours} minus {comparison.theirs}: token F1 {difference}{ratio}")
    return lines


def _number(value: float | None) -> str:
    """A score with three digits, or `-`."""
    return "-" if value is None else f"{value:.3f}"


def interval(estimate: Estimate | None) -> str:
    """An estimate with its confidence interval, or `-`."""
    return "-" if estimate is None else f"{estimate.mean:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def _evaluate_task(
    domain: Domain, split: Literal["dev", "test"], limit: int | None, systems: Sequence[str] | None, *, json: bool
) -> None:
    """Compare the systems of a task and print the table."""
    with progress_bars(not json) as progress:
        report = domain.evaluate_task(split=split, limit=limit, systems=systems, on_progress=progress)
    if json:
        print_json(report.as_json())
        return
    _print_task_table(report)
    for comparison in report.comparisons:
        difference = interval(comparison.difference)
        out.print(f"{comparison.ours} minus {comparison.theirs}: {comparison.score} {difference}")
    out.print(f'written to {domain.build / "reports"}\nnext: softgraft ask {domain.cli_name} "..."')


def _print_task_table(report: TaskReport) -> None:
    scores = list(report.rows[0].scores)
    table = simple_table(["system", *(f"{name} (95%)" for name in scores), "seconds"], left=["system"])
    for row in report.rows:
        table.add_row(row.system, *(interval(row.scores[name]) for name in scores), f"{row.seconds:.2f}")
    out.print(table)
