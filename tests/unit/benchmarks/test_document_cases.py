"""The cases of the benchmark of document readers, and its scores."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.documents.adapters import ADAPTERS
from benchmarks.documents.building.office_files import FILES
from benchmarks.documents.building.office_sources import SOURCES
from benchmarks.documents.case import Case, table
from benchmarks.documents.cases import all_cases
from benchmarks.documents.measuring import digest, measure
from benchmarks.documents.reader_list import OURS, READERS, reader_named
from benchmarks.documents.report import print_case, print_markdown, print_readers
from benchmarks.documents.scores import common_length, falsified, has_number, occurs, score, summary
from benchmarks.documents.structure import has_cell, headings, records
from benchmarks.documents.words import is_number, plain, words

pytestmark = pytest.mark.bench

CASES = all_cases()
# The first bytes of each format.
STARTS = {"docx": b"PK", "xlsx": b"PK", "pptx": b"PK", "odt": b"PK", "epub": b"PK", "pdf": b"%PDF-"}


def case(text: str, **expected: object) -> Case:
    return Case("html/a", ".html", bytes, text, **expected)  # type: ignore[arg-type]


def test_there_are_many_cases_with_names_of_their_own() -> None:
    assert len(CASES) >= 120
    for names in ([one.name for one in CASES], [one.file_name for one in CASES]):
        assert [name for name, count in Counter(names).items() if count > 1] == []
    counts = Counter(one.format for one in CASES)
    assert min(counts[name] for name in ("html", "docx", "pdf")) >= 25
    assert min(counts[name] for name in ("xlsx", "pptx", "epub", "eml", "odt", "subtitles", "code")) >= 4


@pytest.mark.parametrize("one", CASES, ids=lambda one: one.name)
def test_a_case_builds_the_same_file_each_time(one: Case) -> None:
    data = one.build()
    assert 0 < len(data) < 25_000
    assert data == one.build()
    assert data.startswith(STARTS.get(one.format, b""))
    assert "/" not in one.file_name


@pytest.mark.parametrize("one", CASES, ids=lambda one: one.name)
def test_what_is_expected_is_consistent(one: Case) -> None:
    shown = " ".join(plain(one.text).split())
    assert words(one.text)
    assert [bad for bad in one.forbidden if occurs(bad, shown)] == []
    known = set(words(f"{one.text}\n{one.optional}", list_marks=True))
    assert [title for _, title in one.headings or () if not set(words(title)) <= known] == []
    assert [number for number in one.numbers if not has_number(one.text, number)] == []
    assert [cell for row in one.rows for cell in row.values() if not set(words(cell, list_marks=True)) <= known] == []
    found = score(one, one.text)
    assert found["recall"] == 1
    assert found["spurious"] == 0
    assert found["falsified"] == []


def test_committed_files_are_those_of_the_sources() -> None:
    wanted = {name + suffix for name, _, _, formats in SOURCES for suffix in formats}
    assert {path.name for path in FILES.iterdir()} == wanted
    assert max(path.stat().st_size for path in FILES.iterdir()) <= 20_000


def test_words_leave_out_the_marks() -> None:
    assert words("# 1. A **bo**ld [link](http://a.b/c) `x`") == ["A", "bold", "link", "x"]
    assert words("- 2) second\n* third") == ["second", "third"]
    assert words("2) second", list_marks=True) == ["2", "second"]
    assert words("30<sup>2</sup> 30^2^ 30\u00b2") == ["30", "2"] * 3
    assert words("H2O, H~2~O, H\u2082O") == ["H", "2", "O"] * 3
    assert words("\ufb01ve 2.99 1,250.5 \u6d41\u7a0b") == ["five", "2.99", "1,250.5", "\u6d41", "\u7a0b"]
    assert words("a ~~struck~~ <del>gone</del> b <!-- not seen -->") == ["a", "b"]
    assert words(r"3\.5 &lt; snake\_case") == ["3.5", "snake", "case"]
    assert is_number("2.99")
    assert not is_number("two")


def test_words_found_are_in_order() -> None:
    assert common_length(["a", "b", "c", "d"], ["a", "x", "c", "b", "d"]) == 3
    found = score(case("one two three four", optional="page"), "two one three page nine")
    assert found["recall"] == 0.5
    assert found["spurious"] == pytest.approx(1 / 5)
    assert score(case("one"), "")["recall"] == 0


def test_falsified_numbers_and_forbidden_text() -> None:
    one = case("30 \u00b2 metres and 7.5", forbidden=("302", "gone"), optional="12")
    assert falsified(one, "30<sup>2</sup> metres and 7.5, page 12") == []
    assert falsified(one, "302 metres, gone") == ["302", "gone"]
    assert falsified(one, "30 2 metres and 75") == ["75"]
    assert falsified(one, "~~gone~~ forgone 3021") == ["3021"]
    assert occurs("\u6d41", "\u4e00\u6d41\u7a0b")


def test_headings_outside_code() -> None:
    assert headings("# One\n\n```\n# no\n```\n### Two *words* #\n    # indented\n#none") == [
        (1, "One"),
        (3, "Two words"),
    ]
    one = case("One\nTwo", headings=((1, "One"), (2, "Two")))
    found = score(one, "# One\n# Two\n# Three")
    assert found["headings"] == pytest.approx(2 * 2 / 5)
    assert found["levels"] == 0.5
    assert score(case("x"), "# x")["headings"] is None
    assert [score(case("x", headings=()), text)["headings"] for text in ("x", "# x")] == [1.0, 0.0]


def test_list_numbers() -> None:
    assert has_number("- 3\\. Close the account", "3. Close the")
    assert has_number("## 1.2 Scope of", "1.2 Scope")
    assert not has_number("1. Close the account", "3. Close the")
    assert score(case("3. Close\n4. Open", numbers=("3. Close", "4. Open")), "3. Close\n- Open")["numbers"] == 0.5


@pytest.mark.parametrize(
    "text",
    [
        "| Plan | Basic | Plus |\n|---|:--|---|\n| Cards | 1 | |",
        "Plan | Basic | Plus\nCards | 1 |",
        "Plan\tBasic\tPlus\nCards\t1\t",
        "Plan: Cards | Basic: 1 | Plus: ",
        "<table><tr><th>Plan</th><th>Basic</th><th>Plus</th></tr><tr><td>Cards</td><td>1</td><td></td></tr></table>",
        "|  | 2024 | 2024 |\n| Plan | Basic | Plus |\n| Cards | 1 | |",
    ],
)
def test_cells_under_their_columns(text: str) -> None:
    one = case("Plan Basic Plus Cards 1", rows=table("Plan | Basic | Plus", "Cards | 1 | "))
    assert score(one, text)["cells"] == 1
    assert score(one, text.replace("Plus", "Extra"))["cells"] == pytest.approx(2 / 3)


def test_merged_cells_of_html_are_at_each_of_their_places() -> None:
    rows = records(
        "<table><tr><td>City</td><td>Land</td></tr><tr><td>A</td><td rowspan=2>X</td></tr><tr><td>B</td></tr></table>"
    )
    assert has_cell(rows, [("City", "B")], "Land", "X")


def test_summary_of_cases() -> None:
    good, bad = score(case("one"), "one"), {**score(case("one"), ""), "spurious": None, "error": "lost"}
    found = summary([{**good, "seconds": 0.5}, bad])
    assert (found["recall"], found["spurious"], found["failed"], found["seconds"]) == (0.5, 0.0, 1, 0.5)
    assert found["cells"] is None


def test_every_reader_has_an_adapter_and_a_licence() -> None:
    assert {reader.name for reader in READERS} == set(ADAPTERS)
    assert all(reader.licence and reader.requirements for reader in READERS)


def test_our_readers_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    cases = [one for one in CASES if one.name in {"docx/paragraphs", "html/plain table", "eml/plain"}]
    row = measure(reader_named(OURS), cases, sys.executable, 1)
    assert row is not None
    assert row["formats"]["docx"]["recall"] == 1
    assert row["cases"]["html/plain table"]["cells"] == 1
    assert json.loads(json.dumps(row)) == row
    print_readers({OURS: row})
    print_markdown({OURS: row})
    print_case("docx/paragraphs", {OURS: row})
    assert "| softgraft |" in capsys.readouterr().out


def test_the_digest_changes_with_an_expectation() -> None:
    assert digest([case("one")]) != digest([case("two")])


def test_a_reader_that_is_not_installed_has_no_row(tmp_path: Path) -> None:
    missing = [reader for reader in READERS if reader.name in {"ebooklib", "odfpy"}]
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S -s "$@"\n')
    python.chmod(0o700)
    assert [measure(reader, [case("one")], str(python), 1) for reader in missing] == [None, None]
