"""The tables of an evaluation fit 80 columns, also with long names and small scores."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.table import Table

from evaluation import Estimate, Report
from evaluation.report import SystemScores, TaskReport, TaskSystemScores
from softgraft.commands.evaluate import interval, report_table, short_interval, task_table

ESTIMATE = Estimate(0.4104, 0.3731, 0.4436)
SYSTEMS = ("base", "template", "text-twin", "soft", "soft-gold", "majority", "quote")


def scores(system: str) -> SystemScores:
    return SystemScores(
        system=system,
        questions=140,
        accuracy=ESTIMATE,
        exact_match=ESTIMATE,
        token_f1=ESTIMATE,
        refusal_accuracy=0.9,
        wrong_refusals=0.05,
        citation_precision=None,
        unsupported=0.02,
        words=21.4,
        seconds_per_answer=12.345,
    )


def lines_of(table: Table, width: int = 80) -> list[str]:
    output = io.StringIO()
    Console(file=output, width=width, soft_wrap=True).print(table)
    return [line.rstrip() for line in output.getvalue().splitlines() if line.strip()]


def test_every_row_of_an_evaluation_is_one_line_of_80_columns() -> None:
    lines = lines_of(report_table(Report(tuple(map(scores, SYSTEMS)), (), None, {})))
    assert len(lines) == 2 + len(SYSTEMS)
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == [
        "system", "accuracy", "token", "F1", "(95%)", "unsup.", "refused", "wrongly", "cited", "time",
    ]  # fmt: skip
    assert lines[3].split() == [
        "template", "0.410", "0.410", "(0.37-0.44)", "0.020", "0.900", "0.050", "-", "12.35",
    ]  # fmt: skip


@pytest.mark.parametrize("names", [("accuracy", "macro F1"), ("ROUGE-1", "ROUGE-2", "ROUGE-L"), ("BLEU", "chrF")])
def test_every_row_of_a_task_is_one_line_of_80_columns(names: tuple[str, ...]) -> None:
    rows = tuple(TaskSystemScores(system, 100, dict.fromkeys(names, ESTIMATE), 1.5) for system in SYSTEMS)
    lines = lines_of(task_table(TaskReport("summarisation", rows, (), {})))
    assert len(lines) == 2 + len(SYSTEMS)
    assert max(map(len, lines)) <= 80


def test_intervals() -> None:
    assert short_interval(ESTIMATE) == "0.410 (0.37-0.44)"
    assert interval(ESTIMATE) == "0.410 (0.373 to 0.444)"
    assert short_interval(None) == interval(None) == "-"
