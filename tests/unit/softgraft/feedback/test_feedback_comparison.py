"""Blind comparison: random order, no names, resumed where it stopped, and anew for another graft."""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Callable

import pytest
from house_domain import opened

from softgraft import Domain
from softgraft.commands import console
from softgraft.errors import UsageError
from softgraft.feedback.comparison import Comparison, Shown
from softgraft.feedback.preferences import preferences

# Left out of `make check`.
pytestmark = pytest.mark.heavy

Run = Callable[..., tuple[int, str, str]]
SYSTEMS = ("text-twin", "quote")


@pytest.fixture
def domain(make_domain: Callable[..., Domain]) -> Domain:
    return make_domain("house", ingest=True)


def quotes(shown: Shown) -> tuple[bool, bool]:
    """Which of the two answers is the quote; a random backbone writes none."""
    return "“" in shown.left, "“" in shown.right


def test_the_order_says_nothing_and_the_preference_is_stored_for_the_system(domain: Domain) -> None:
    comparison = Comparison(domain, SYSTEMS, 4)
    assert comparison.progress() == (0, 4)
    for shown in comparison.pending():
        left, right = quotes(shown)
        assert left != right
        assert shown.left_is_first == right
        comparison.prefer(shown, "left" if left else "right")
    found, damaged = preferences(domain)
    assert [one.preferred for one in found] == ["second"] * 4
    assert damaged == ()
    assert comparison.progress() == (4, 4)
    assert list(comparison.pending()) == []
    # Both orders occur: with 40 questions, one alone would be a coin that falls 40 times on one side.
    with sqlite3.connect(domain.conversations.path) as connection:
        connection.execute("DELETE FROM preferences")
    connection.close()
    orders = {shown.left_is_first for _ in range(10) for shown in comparison.pending()}
    assert orders == {True, False}


def test_a_comparison_is_resumed_and_begins_anew_for_another_template(domain: Domain) -> None:
    comparison = Comparison(domain, SYSTEMS, 4)
    comparison.prefer(next(comparison.pending()), "tie")
    again = Comparison(domain, SYSTEMS, 4)
    assert again.progress() == (1, 4)
    assert len(list(again.pending())) == 3
    template = domain.folder / "templates" / "rag-chat.en.yaml"
    template.write_text(template.read_text("utf-8").replace("Answer the question.", "Answer it."), encoding="utf-8")
    assert Comparison(opened(domain.folder), SYSTEMS, 4).progress() == (0, 4)


def test_the_same_answer_twice_is_a_tie_that_nobody_is_asked_about(domain: Domain) -> None:
    comparison = Comparison(domain, ("text-twin", "auto"), 2)
    assert list(comparison.pending()) == []
    assert [(one.preferred, one.identical) for one in preferences(domain)[0]] == [("tie", True)] * 2


@pytest.mark.parametrize("systems", [(), ("soft",), ("quote", "quote"), ("quote", "soft"), ("quote", "nope")])
def test_two_systems_that_exist_are_needed(domain: Domain, systems: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        Comparison(domain, systems, 4)


def test_on_the_command_line(run: Run, domain: Domain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "open_domain", lambda _: opened(domain.folder))
    (domain.folder.parent / "domains").mkdir()
    name = str(domain.folder)

    def compare(keys: str) -> str:
        monkeypatch.setattr("sys.stdin", io.StringIO(keys))
        code, out, err = run("feedback", name, "compare", "--systems", ",".join(SYSTEMS), "--questions", "3")
        assert (code, err) == (0, "")
        return out

    out = compare("x\n1\ns\nt\n")
    assert "one of 1, 2, t, s, q" in out
    assert "2 of 3 questions are judged" in out
    # The names stand in the command to continue alone.
    assert out.count("text-twin") == 1
    assert compare("q\n").startswith("2 of 3 questions are judged already")
    assert "next: softgraft feedback " in compare("2\n")
    [pair] = json.loads(run("feedback", name, "report", "--json")[1])["preferences"]
    assert (pair["systems"], pair["first"] + pair["second"], pair["ties"]) == (list(SYSTEMS), 2, 1)
    assert "exact two-sided sign test" in run("feedback", name, "report")[1]


def test_the_command_that_continues_names_the_split(run: Run, domain: Domain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "open_domain", lambda _: opened(domain.folder))
    monkeypatch.setattr("sys.stdin", io.StringIO("q\n"))
    given = ("--systems", ",".join(SYSTEMS), "--questions", "3", "--split", "test")
    code, out, _ = run("feedback", str(domain.folder), "compare", *given)
    assert (code, out.rstrip().endswith("--questions 3 --split test")) == (0, True)


def test_a_damaged_preference_is_named(domain: Domain, run: Run) -> None:
    comparison = Comparison(domain, SYSTEMS, 2)
    for shown in comparison.pending():
        comparison.prefer(shown, "tie")
    with sqlite3.connect(domain.conversations.path) as connection:
        connection.execute("UPDATE preferences SET entry = CAST(REPLACE(CAST(entry AS TEXT), 'tie', 'first') AS BLOB)")
    connection.close()
    found, damaged = preferences(domain)
    assert (found, len(damaged)) == ([], 2)
    assert run("feedback", str(domain.folder), "report")[0] == 5
