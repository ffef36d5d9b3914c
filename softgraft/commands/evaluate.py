"""`softgraft eval` and `curve`, and `report`, which shows them as a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from softgraft.commands.console import (
    DomainArgument,
    JsonOption,
    LimitOption,
    on_train,
    open_domain,
    out,
    print_json,
    progress_bars,
    simple_table,
)
from softgraft.errors import UsageError
from softgraft.settings.sections import MAX_NUMBER

if TYPE_CHECKING:
    from rich.table import Table

    from evaluation import Estimate, Report
    from evaluation.report import TaskReport


_MOST_DIGITS, _SHOWN = 10, 120


def evaluate_command(
    domain: DomainArgument,
    json: JsonOption = False,
    limit: LimitOption = None,
    split: Annotated[Literal["dev", "test"], typer.Option(help="Questions to use.")] = "test",
    systems: Annotated[str | None, typer.Option(help="Systems to compare, such as text-twin,soft.")] = None,
) -> None:
    """Compare systems on held-out questions.

    The systems: `base` (no retrieval), `template` (empty soft slot), `text-twin`, `source` (the start before training),
    `soft` (the trained soft prompt), `soft-gold` (the same, with the right passage), `quote` (the best sentence) and
    `auto` (what users get). A system that the domain does not have is left out.

    Example: `softgraft eval bank --json > bank.json`
    """
    names = [name.strip() for name in systems.split(",")] if systems is not None else None
    opened = open_domain(domain)
    is_task = opened.file.text_task is not None
    evaluate = opened.evaluate_task if is_task else opened.evaluate
    with progress_bars(not json) as progress:
        report: Any = evaluate(split=split, limit=limit, systems=names, on_progress=progress)
    if json:
        print_json(report.as_json())
        return
    out.print(task_table(report) if is_task else report_table(report))
    for line in _task_lines(report) if is_task else report_lines(report):
        out.print(line)
    next_command = f'softgraft ask {domain} "..."' if is_task else f"softgraft chat {domain}"
    out.print(f"written to {opened.build / 'reports'}\nnext: {next_command}")


def curve_command(
    domain: DomainArgument,
    labels: Annotated[str, typer.Option(help="Numbers of train questions, separated by commas.")] = "0,15,60,240",
    json: JsonOption = False,
    limit: LimitOption = None,
    split: Annotated[Literal["dev", "test"], typer.Option(help="Questions to use.")] = "test",
) -> None:
    """Measure how scores rise with the number of train questions.

    Training starts from the domain's start and from the text twin; the quote, which learns nothing, stands beside them.
    What is trained here does not change the domain's answers. An interrupted run continues.

    Example: `softgraft curve bank --labels 0,30,120 --limit 60`
    """
    from softgraft.jobs.curve import measure_curve

    counts = label_counts(labels)
    opened = open_domain(domain)
    with progress_bars(not json) as progress:
        curve = measure_curve(
            opened,
            counts,
            split=split,
            limit=limit,
            on_point=lambda point: progress(f"{point.start}, {point.labels} labels", 1, 1),
            on_step=on_train(progress),
        )
    if json:
        print_json(curve.model_dump())
        return
    table = simple_table(["start", "labels", "accuracy (95%)", "token F1 (95%)"], left=["start"])
    for point in curve.points:
        scores = map(short_interval, (point.accuracy, point.token_f1))
        table.add_row(point.start, "" if point.start == "quote" else str(point.labels), *scores)
    out.print(table)
    out.print(f"written to {opened.build / 'label_curve.json'}\nnext: softgraft report {domain}")


def label_counts(text: str) -> list[int]:
    """The numbers of an option such as `0,15,60`, in ascending order.

    Raises:
        UsageError: if one is not a number of 0 to 2147483647.
    """
    parts = [part.strip() for part in text.split(",")]
    # Python refuses to read thousands of digits.
    if not all(part.isdecimal() and len(part) <= _MOST_DIGITS and int(part) <= MAX_NUMBER for part in parts):
        raise UsageError(
            found=f"--labels {text[:_SHOWN]}",
            expected="numbers of questions, separated by commas",
            next_step="softgraft curve DOMAIN --labels 0,15,60,240",
        )
    return sorted(set(map(int, parts)))


def report_command(
    domain: DomainArgument,
    output: Annotated[Path | None, typer.Option(help="HTML file. Default: build/reports/report.html.")] = None,
    split: Annotated[Literal["dev", "test"], typer.Option(help="Evaluation to show.")] = "test",
    json: JsonOption = False,
) -> None:
    """Write one HTML file about a domain: scores, losses, transfer, and its worst answers with their evidence.

    It shows the last `softgraft eval`, and the last `softgraft curve` and `softgraft transfer` with this domain. The
    file needs no network.

    Example: `softgraft report bank`
    """
    from softgraft.jobs.report.page import write_page

    opened = open_domain(domain)
    path = output or opened.build / "reports" / "report.html"
    sections = write_page(opened, path, split)
    if json:
        print_json({"file": str(path), "sections": sections})
        return
    out.print(f"written: {path} ({', '.join(section.lower() for section in sections)})")


def report_table(report: Report) -> Table:
    """The table of an evaluation. It fits 80 columns."""
    columns = ["system", "accuracy", "token F1 (95%)", "unsup.", "refused", "wrongly", "cited", "time"]
    table = simple_table(columns, left=["system"])
    for row in report.rows:
        accuracy = row.accuracy.mean if row.accuracy else None
        shares = [accuracy, row.unsupported, row.refusal_accuracy, row.wrong_refusals, row.citation_precision]
        correct, unsupported, *others = ["-" if share is None else f"{share:.3f}" for share in shares]
        f1, seconds = short_interval(row.token_f1), f"{row.seconds_per_answer:.2f}"
        table.add_row(row.system, correct, f1, unsupported, *others, seconds)
    return table


def report_lines(report: Report) -> list[str]:
    """What the table does not show: its columns' meaning, the retrieval scores, and the paired differences."""
    lines = [
        "accuracy: share of replies that contain a short answer; unsup.: share of answers that the evidence does not "
        "support; refused: share of the questions without an answer that were refused; wrongly: the same for questions "
        "with an answer; cited: share of citations that contain the answer; time: seconds per answer"
    ]
    if (scores := report.retrieval) is not None:
        lines.append(
            f"retrieval over {scores.questions} questions: recall@1 {scores.recall_at_1:.3f}, "
            f"recall@5 {scores.recall_at_5:.3f}, nDCG@10 {scores.ndcg_at_10:.3f}"
        )
    for comparison in report.comparisons:
        ratio = f", {comparison.token_f1_ratio:.2f} times" if comparison.token_f1_ratio else ""
        accuracy = f"accuracy {interval(comparison.accuracy)}, " if comparison.accuracy else ""
        difference = interval(comparison.token_f1)
        lines.append(f"{comparison.ours} minus {comparison.theirs}: {accuracy}token F1 {difference}{ratio}")
    return lines


def interval(estimate: Estimate | None) -> str:
    """An estimate with its confidence interval, or `-`."""
    return "-" if estimate is None else f"{estimate.mean:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def short_interval(estimate: Estimate | None) -> str:
    """The same in fewer characters, for a table."""
    return "-" if estimate is None else f"{estimate.mean:.3f} ({estimate.low:.2f}-{estimate.high:.2f})"


def task_table(report: TaskReport) -> Table:
    """The table of an evaluation of a task. It fits 80 columns."""
    scores = list(report.rows[0].scores)
    table = simple_table(["system", *(f"{name} (95%)" for name in scores), "time"], left=["system"])
    for row in report.rows:
        table.add_row(row.system, *(short_interval(row.scores[name]) for name in scores), f"{row.seconds:.2f}")
    return table


def _task_lines(report: TaskReport) -> list[str]:
    return [f"{c.ours} minus {c.theirs}: {c.score} {interval(c.difference)}" for c in report.comparisons]
