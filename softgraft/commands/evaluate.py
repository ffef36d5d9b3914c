"""`softgraft eval`."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from softgraft.commands.console import (
    DomainArgument,
    JsonOption,
    LimitOption,
    open_domain,
    out,
    print_json,
    progress_bars,
    report_lines,
    report_table,
)
from softgraft.commands.task import evaluate_task_domain


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
        evaluate_task_domain(opened, split, limit, names, json=json)
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
