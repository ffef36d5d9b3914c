"""`softgraft feedback`: what each action prints, what it asks, and wrong uses."""

from __future__ import annotations

import io
import json
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from house_domain import item, write_items
from rated_house import ASKED

from evaluation import read_items
from softgraft import feedback
from softgraft.feedback.place import StoredDomain

# Left out of `make check`.
pytestmark = pytest.mark.heavy

Run = Callable[..., tuple[int, str, str]]
HOSTILE = "\x1b]0;owned\x07 [bold]no[/] \u202e\x9b2J"


@pytest.fixture
def rated(house: StoredDomain) -> StoredDomain:
    """One correction that can be accepted, one whose question stands in dev, and an answer rated up."""
    write_items(house.folder / "dev.jsonl", [item(1, "And a replacement abroad?")])
    write_items(house.folder / "test.jsonl", [item(1, "Is it nice?")])
    feedback.record(house, "anna", 1, "down", f"12 euros. {HOSTILE}")
    feedback.record(house, "anna", 2, "down", "No.")
    feedback.record(house, "bert", 1, "up")
    house.conversations.close()
    return house


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda text: monkeypatch.setattr("sys.stdin", io.StringIO(text))


def ids(run: Run, *more: str) -> list[str]:
    return [entry["id"] for entry in json.loads(run("feedback", "house", "list", "--json", *more)[1])["feedback"]]


def train(domain: StoredDomain) -> Path:
    return domain.folder / "train.jsonl"


def test_list_shows_what_was_rated(run: Run, rated: StoredDomain) -> None:
    code, out, err = run("feedback", "house")
    assert (code, err) == (0, "")
    assert out.index(ASKED) < out.index("And a replacement abroad?") < out.index("inside the country free?")
    assert 'quote      "A replacement card costs 12 euros and arrives within 5 days." (cards, characters' in out
    assert out.endswith("next: softgraft feedback house accept\n")
    assert len(ids(run)) == 3
    assert ids(run, "--rating", "up") == ids(run)[2:]
    entry = json.loads(run("feedback", "house", "--json")[1])["feedback"][0]
    assert (entry["correction"], entry["system"], len(entry["graft"])) == (f"12 euros. {HOSTILE}", "soft", 12)


@pytest.mark.parametrize("arguments", [("list",), ("list", "--json"), ("export",), ("accept", "--json"), ("accept",)])
def test_control_characters_are_shown_and_not_executed(
    run: Run, rated: StoredDomain, typed: Callable[[str], None], arguments: tuple[str, ...]
) -> None:
    typed("a\n")
    code, out, err = run("feedback", "house", *arguments)
    assert code == 0
    assert not {"\x1b", "\x07", "\u202e", "\x9b"} & set(out + err)
    assert "[bold]no[/]" in out
    assert "\\x1b]0;owned" in out or "\\u001b]0;owned" in out


def test_accept_asks_for_each_and_says_what_it_leaves_out(
    run: Run, rated: StoredDomain, typed: Callable[[str], None]
) -> None:
    before = len(read_items(train(rated)))
    typed("what\ns\n")
    code, out, _ = run("feedback", "house", "accept")
    assert code == 0
    assert f"left out: {ids(run)[1]}: its question stands in dev, which must not be trained on" in out
    assert "one of a, s, q" in out
    assert "added 0 of 1 to" in out
    typed("")
    assert run("feedback", "house", "accept")[0] == 0
    assert len(read_items(train(rated))) == before
    typed("a\n")
    code, out, _ = run("feedback", "house", "accept")
    assert "added 1 of 1 to" in out
    assert "next: softgraft ingest house, then softgraft train house" in out
    assert read_items(train(rated))[-1].id == ids(run)[0]
    assert "nothing to accept" in run("feedback", "house", "accept")[1]
    assert "accepted on" in run("feedback", "house")[1]


def test_accept_by_id(run: Run, rated: StoredDomain) -> None:
    first, second, third = ids(run)
    before = train(rated).read_bytes()
    offered = json.loads(run("feedback", "house", "accept", "--json")[1])
    assert ([one["id"] for one in offered["offered"]], offered["added"]) == ([first], [])
    for wrong, found in ((third, "has no correction"), ("nope", "no feedback 'nope'")):
        code, _, err = run("feedback", "house", "accept", first, wrong, "--yes")
        assert (code, found in err) == (2, True)
    assert train(rated).read_bytes() == before
    done = json.loads(run("feedback", "house", "accept", first, second, "--yes", "--json")[1])
    assert done["added"] == [first]
    assert [one["id"] for one in done["left_out"]] == [second]
    code, out, _ = run("feedback", "house", "accept", third, "--rated-up", "--yes")
    assert (code, "added 1 of 1" in out) == (0, True)
    code, _, err = run("feedback", "house", "accept", first, "--yes")
    assert (code, "is in train.jsonl already" in err) == (2, True)
    assert [entry.id for entry in read_items(train(rated))[-2:]] == [first, third]


def test_export_writes_a_private_file(run: Run, rated: StoredDomain, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in run("feedback", "house", "export")[1].splitlines()]
    assert [line["id"] for line in lines] == ids(run)
    code, out, _ = run("feedback", "house", "export", "--rating", "down", "--output", "kept.jsonl")
    assert (code, out) == (0, "wrote 2 to kept.jsonl\n")
    kept = tmp_path / "kept.jsonl"
    assert [json.loads(line) for line in kept.read_text(encoding="utf-8").splitlines()] == lines[:2]
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    code, _, err = run("feedback", "house", "export", "--output", "kept.jsonl")
    assert (code, "cannot be written" in err) == (2, True)


def test_report_counts_each_graft(run: Run, rated: StoredDomain) -> None:
    code, out, _ = run("feedback", "house", "report")
    assert code == 0
    assert "33%" in out
    assert "6% to 79%" in out
    [graft] = json.loads(run("feedback", "house", "report", "--json")[1])["grafts"]
    assert (graft["up"], graft["down"], graft["corrections"], graft["soft_prompt"]) == (1, 2, 2, "ab" * 32)
    assert max(map(len, out.splitlines())) <= 100


def test_damage_is_named_and_the_rest_is_shown(run: Run, rated: StoredDomain, typed: Callable[[str], None]) -> None:
    with sqlite3.connect(rated.conversations.path) as connection:
        connection.execute("UPDATE feedback SET digest = x'00' WHERE thread_id = 'bert'")
    connection.close()
    typed("s\n")
    for action in ("list", "export", "report", "accept"):
        code, out, err = run("feedback", "house", action)
        assert (code, "the feedback on turn 1 of 'bert'" in err) == (5, True)
        assert out
    assert len(ids(run)) == 2


def test_without_feedback(run: Run, house: StoredDomain, typed: Callable[[str], None]) -> None:
    house.conversations.close()
    typed("")
    assert "no feedback yet" in run("feedback", "house")[1]
    assert "no answer was rated up" in run("feedback", "house", "--rating", "up")[1]
    assert "no feedback yet" in run("feedback", "house", "report")[1]
    assert run("feedback", "house", "accept")[1] == "nothing to accept\n"
    assert run("feedback", "house", "export")[:2] == (0, "")


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("list", "--yes"), "--yes with `list`"),
        (("report", "--rating", "up"), "--rating with `report`"),
        (("list", "feedback-1"), "ID with `list`"),
        (("accept", "--systems", "soft,quote"), "--systems with `accept`"),
        (("accept", "--yes"), "--yes without an id"),
        (("export", "--json"), "--json with `export`"),
        (("export", "--json"), "softgraft feedback house list --json"),
        (("compare",), "`compare` without --systems"),
        (("compare", "--systems", "soft,quote", "--json"), "`compare` with --json"),
    ],
)
def test_wrong_uses_say_what_was_expected(
    run: Run, house: StoredDomain, arguments: tuple[str, ...], found: str
) -> None:
    code, out, err = run("feedback", "house", *arguments)
    assert (code, found in out + err, "softgraft feedback" in out + err) == (2, True, True)
    assert "--json" in arguments or not out
