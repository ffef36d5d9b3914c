"""The HTML page about a domain."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from house_domain import write_items

from softgraft import Domain
from softgraft.errors import UsageError
from softgraft.jobs.charts import curve_chart, interval_chart, loss_chart, matrix_chart
from softgraft.jobs.curve import measure_curve
from softgraft.jobs.report.files import read_evaluation, read_losses, read_matrix, read_replies, worst_answers
from softgraft.jobs.report.page import write_page

pytestmark = pytest.mark.heavy


def test_the_page_shows_everything_that_was_measured(
    grafted: Domain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [json.loads(line) for line in (grafted.folder / "test.jsonl").read_text().splitlines()]
    write_items(
        grafted.folder / "test.jsonl", [{**rows[0], "question": "What is <b>the fee</b> of a card?"}, *rows[1:]]
    )
    grafted.evaluate()
    cells = [{"trained_on": row, "asked": "house", "labels": 0, "token_f1": 0.25} for row in ("quote", "house")]
    (tmp_path / "grafts").mkdir()
    (tmp_path / "grafts" / "transfer.json").write_text(
        json.dumps({"domains": ["house"], "split": "test", "cells": cells})
    )
    measure_curve(grafted, [0])
    sections = write_page(grafted, tmp_path / "page.html")
    assert sections == [
        "Domain", "Systems on test", "Differences", "Retrieval", "Loss of the last training run",
        "Label curve on test", "Transfer", "Worst answers",
    ]  # fmt: skip
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    # Two of scores, one each of losses, labels and transfer.
    assert page.count("<svg") == 5
    assert "What is &lt;b&gt;the fee&lt;/b&gt; of a card?" in page
    assert "<b>the fee</b>" not in page
    assert "The debit card is free in the first year." in page
    # Nothing is loaded from elsewhere.
    assert re.findall(r'(?:src|href)="(?!#|data:image/png)([^"]*)"', page) == []
    assert "<script" not in page


def test_without_an_evaluation_the_next_command_is_named(grafted: Domain, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no evaluation of") as caught:
        write_page(grafted, tmp_path / "page.html")
    assert caught.value.next_step == f"softgraft eval {grafted.folder} --split test"
    assert not (tmp_path / "page.html").exists()


def test_the_command(
    grafted: Domain, run: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    grafted.evaluate(systems=["text-twin"])
    monkeypatch.setattr("softgraft.commands.evaluate.open_domain", lambda name: grafted)
    code, said, _ = run("report", str(grafted.folder), "--json")
    assert code == 0
    assert json.loads(said)["file"] == str(grafted.build / "reports" / "report.html")
    assert (grafted.build / "reports" / "report.html").is_file()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rows", [{"system": "soft"}]),
        ("rows", []),
        ("retrieval", {"questions": "many"}),
        ("comparisons", [{"ours": 1}]),
    ],
)
def test_a_damaged_evaluation_counts_as_none(grafted: Domain, tmp_path: Path, name: str, value: Any) -> None:
    grafted.evaluate(systems=["text-twin", "soft"])
    report = grafted.build / "reports" / "eval-test.json"
    good = json.loads(report.read_text())
    assert read_evaluation(grafted.build, "test") == good
    report.write_text(json.dumps({**good, name: value}))
    with pytest.raises(UsageError, match="no evaluation of"):
        write_page(grafted, tmp_path / "page.html")
    good["rows"][0]["token_f1"] = "high"
    report.write_text(json.dumps(good))
    with pytest.raises(UsageError, match="no evaluation of"):
        write_page(grafted, tmp_path / "page.html")


def test_damaged_files_leave_their_part_out(tmp_path: Path) -> None:
    (tmp_path / "train_log.jsonl").write_text("{")
    assert read_losses(tmp_path) is None
    (tmp_path / "transfer.json").write_text('{"domains": ["bank"], "split": "test", "cells": []}')
    assert read_matrix("bank", tmp_path / "transfer.json") is None
    (tmp_path / "transfer.json").write_text('{"domains": ["bank"], "cells": [{}]}')
    assert read_matrix("bank", tmp_path / "transfer.json") is None
    assert read_matrix("bank", tmp_path / "none.json") is None


def test_the_worst_come_first() -> None:
    rows = [
        {"system": "auto", "item": "a", "accuracy": 1.0, "f1": 0.1},
        {"system": "auto", "item": "b", "accuracy": 0.0, "f1": 0.5},
        {"system": "auto", "item": "c", "accuracy": 0.0, "f1": 0.2},
        {"system": "auto", "item": "d", "accuracy": None, "f1": None},
        {"system": "soft", "item": "e", "accuracy": 0.0, "f1": 0.0},
    ]
    assert [row["item"] for row in worst_answers(rows, "auto", "abce", 2)] == ["c", "b"]
    # Without a short answer there is token F1 alone.
    rows.append({"system": "auto", "item": "f", "accuracy": None, "f1": 0.1})
    assert [row["item"] for row in worst_answers(rows, "auto", "abcef", 4)] == ["c", "b", "f", "a"]


def test_replies_may_contain_line_separators_and_damaged_lines_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "reports").mkdir()
    rows = [
        {"system": "auto", "item": "a", "reply": "one\u2028two\x85three", "accuracy": 1.0, "f1": 1.0},
        {"system": "auto", "accuracy": 0.0},
        {"system": "auto", "item": 3, "reply": None},
    ]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (tmp_path / "reports" / "eval-test-replies.jsonl").write_text(lines, encoding="utf-8")
    assert read_replies(tmp_path, "test") == rows[:1]
    assert worst_answers(read_replies(tmp_path, "test"), "auto", {"a"}, 5) == rows[:1]


def test_charts_say_the_same_each_time() -> None:
    for chart in (
        lambda: interval_chart([("quote", 0.8, 0.7, 0.9)], "accuracy"),
        lambda: loss_chart([(1, 2.0), (2, 1.5)], [(2, 1.7)]),
        lambda: matrix_chart(["a"], ["b"], [[0.5]], "asked"),
    ):
        assert chart() == chart()
        assert chart().startswith("<svg")


def test_charts_show_hostile_names_as_text() -> None:
    name = "$\\frac{$ <script>x</script> \x1b[2J \u202e\ud800"
    for chart in (
        interval_chart([(name, 0.8, 0.7, 0.9)], "accuracy"),
        curve_chart([(name, [(0, 0.5, 0.4, 0.6)])], 0.5),
        matrix_chart([name], [name], [[0.5]], "asked"),
    ):
        assert "$\\frac{$ &lt;script&gt;x&lt;/script&gt; \\x1b[2J \\u202e\\ud800" in chart
        assert "<script>" not in chart
        assert "\x1b" not in chart
