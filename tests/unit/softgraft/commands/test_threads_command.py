"""`softgraft threads`: listing, showing, renaming, exporting and deleting conversations."""

from __future__ import annotations

import json
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from softgraft import Domain
from softgraft.jobs.transcript import as_markdown
from softgraft.settings.sections import AnswerFileSettings

# Left out of `make check`.
pytestmark = pytest.mark.heavy

Run = Callable[..., tuple[int, str, str]]
QUESTION = "What does a replacement card cost?"


@pytest.fixture
def with_conversations(make_domain: Callable[..., Domain], tmp_path: Path) -> Domain:
    """A domain with two conversations."""
    domain = make_domain("house", ingest=True)
    for name, question in (("anna", QUESTION), ("bert", "Is the [bold] card free?"), ("anna", "And [/] abroad?")):
        domain.chain.invoke({"question": question}, config={"configurable": {"thread_id": name}})
    domain.chain.close()
    return domain


def test_list_shows_the_latest_first(run: Run, with_conversations: Domain) -> None:
    code, out, err = run("threads", "list", "house")
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines() if line.strip()]
    assert [(line[0], line[1]) for line in lines if line[0] in ("anna", "bert")] == [("anna", "2"), ("bert", "1")]
    assert "Is the [bold] card free?" in out
    threads = json.loads(run("threads", "list", "house", "--json")[1])["threads"]
    assert [(entry["thread"], entry["turns"], entry["first"]) for entry in threads] == [
        ("anna", 2, QUESTION), ("bert", 1, "Is the [bold] card free?"),
    ]  # fmt: skip


def test_list_without_conversations(run: Run, make_domain: Callable[..., Domain]) -> None:
    domain = make_domain("quiet")
    code, out, _ = run("threads", "list", "quiet")
    assert (code, "softgraft ask quiet" in out) == (0, True)
    assert json.loads(run("threads", "list", "quiet", "--json")[1]) == {"threads": []}
    assert not domain.build.exists()


def test_show_prints_the_turns(run: Run, with_conversations: Domain) -> None:
    code, out, err = run("threads", "show", "house", "anna")
    assert (code, err) == (0, "")
    assert out.index(f"> {QUESTION}") < out.index("> And [/] abroad?")
    kept = json.loads(run("threads", "show", "house", "anna", "--json")[1])
    assert kept == with_conversations.conversations.transcript("anna")
    assert [turn["question"] for turn in kept["turns"]] == [QUESTION, "And [/] abroad?"]


@pytest.mark.parametrize("command", ["show", "export", "delete", "rename"])
def test_the_error_for_an_unknown_thread_has_the_next_command(
    run: Run, with_conversations: Domain, command: str
) -> None:
    code, out, err = run("threads", command, "house", "carl", *(["Title"] if command == "rename" else []))
    assert (code, out) == (3, "")
    assert "no conversation 'carl'" in err
    assert "'anna', 'bert'" in err
    assert "softgraft threads list" in err


def test_rename_gives_a_title_and_takes_it_away(run: Run, with_conversations: Domain) -> None:
    code, out, err = run("threads", "rename", "house", "anna", "A [red]  lost card")
    assert (code, out, err) == (0, "anna is now titled 'A [red] lost card'\n", "")
    listed = run("threads", "list", "house")[1]
    assert "title" in listed
    assert "A [red] lost card" in listed
    assert with_conversations.conversations.transcript("anna")["title"] == "A [red] lost card"
    code, out, _ = run("threads", "rename", "house", "anna", "", "--json")
    assert (code, json.loads(out)) == (0, {"thread": "anna", "title": ""})
    assert "title" not in run("threads", "list", "house")[1]
    code, _, err = run("threads", "rename", "house", "anna", "x" * 10_000)
    assert code == 2
    assert with_conversations.conversations.transcript("anna")["title"] == ""


def test_export_writes_json_and_markdown(run: Run, with_conversations: Domain, tmp_path: Path) -> None:
    assert json.loads(run("threads", "export", "house", "anna", "--format", "json")[1]) == (
        with_conversations.conversations.transcript("anna")
    )
    code, page, _ = run("threads", "export", "house", "anna")
    assert code == 0
    assert page.startswith("# `The house`: conversation `anna`\n")
    assert f"\n## 1. `{QUESTION}`\n" in page
    code, out, _ = run("threads", "export", "house", "anna", "--output", "anna.md")
    assert (code, out.strip()) == (0, "wrote anna.md")
    assert (tmp_path / "anna.md").read_text(encoding="utf-8") == page
    # An existing file is not overwritten.
    code, _, err = run("threads", "export", "house", "bert", "--output", "anna.md")
    assert (code, "anna.md cannot be written" in err) == (2, True)
    assert (tmp_path / "anna.md").read_text(encoding="utf-8") == page


def test_a_page_has_the_location_of_each_quote() -> None:
    citation = {
        "quote": "It costs\n12 euros.", "title": "Fees", "heading": "Cards", "doc_id": "cards", "page": 3,
        "start": 10, "end": 30,
    }  # fmt: skip
    turn: dict[str, Any] = {
        "number": 3, "question": "# How\nmuch?", "answer": "    12 euros.\nReally.", "citations": [citation],
        "at": "2026-01-02T03:04:05+00:00", "notices": ["the oldest turns were left out"],
    }  # fmt: skip
    kept = {"thread": "1", "updated": "", "summary": "We spoke\nof fees.", "damaged": ["turn 1", "turn 2"]}
    assert as_markdown({**kept, "turns": [turn]}, "The house").splitlines() == [
        "# `The house`: conversation `1`", "",
        "Damaged, and left out: turn 1, turn 2.", "",
        "Summary of the earlier turns:", "", "```text", "We spoke", "of fees.", "```", "",
        "## 3. `# How much?`", "",
        "Answered at `2026-01-02T03:04:05+00:00`:", "",
        "```text", "    12 euros.", "Really.", "```", "",
        "> `It costs 12 euros.`", ">", "> from `Fees > Cards, page 3 (cards, characters 10 to 30)`", "",
        "Note: `the oldest turns were left out`",
    ]  # fmt: skip


@pytest.mark.parametrize(("answer", "code", "left"), [(True, 0, ["bert"]), (False, 1, ["anna", "bert"])])
def test_delete_asks_for_confirmation(
    run: Run, with_conversations: Domain, monkeypatch: pytest.MonkeyPatch, answer: bool, code: int, left: list[str]
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("typer.confirm", lambda text, **_: bool(asked.append(text)) or answer)
    assert run("threads", "delete", "house", "anna")[0] == code
    assert asked == ["Delete the conversation 'anna' with 2 turns?"]
    assert [entry.thread for entry in with_conversations.conversations.threads()] == left


def test_yes_deletes_without_confirmation(run: Run, with_conversations: Domain) -> None:
    code, out, _ = run("threads", "delete", "house", "anna", "--json")
    assert (code, json.loads(out)["error"]["type"]) == (2, "UsageError")
    assert json.loads(run("threads", "delete", "house", "anna", "--yes", "--json")[1]) == {
        "deleted": "anna",
        "turns": 2,
    }
    assert run("threads", "delete", "house", "bert", "--yes")[1].strip() == "deleted bert (1 turn)"
    assert with_conversations.conversations.threads() == []


def test_a_damaged_memory_has_its_exit_code(run: Run, with_conversations: Domain) -> None:
    with_conversations.close()
    (with_conversations.build / "memory.sqlite").write_bytes(b"no database " * 1000)
    code, out, err = run("threads", "list", "house")
    assert (code, out) == (5, "")
    assert "start a new database: mkdir" in err


def damage(domain: Domain, statement: str) -> None:
    domain.close()
    with sqlite3.connect(domain.build / "memory.sqlite") as connection:
        assert connection.execute(statement).rowcount
    connection.close()


def test_a_damaged_turn_is_reported_and_the_others_are_exported(
    run: Run, with_conversations: Domain, tmp_path: Path
) -> None:
    damage(with_conversations, "UPDATE turns SET turn = x'80' WHERE thread_id = 'anna' AND number = 1")
    code, out, err = run("threads", "show", "house", "anna")
    assert (code, "And [/] abroad?" in out, QUESTION in out) == (5, True, False)
    assert "turn 1 of the conversation 'anna'" in err
    assert "softgraft threads delete house anna --yes" in err
    code, out, _ = run("threads", "show", "house", "anna", "--json")
    assert (code, json.loads(out)["damaged"]) == (5, ["turn 1"])
    code, out, _ = run("threads", "export", "house", "anna", "--output", "anna.md")
    page = (tmp_path / "anna.md").read_text(encoding="utf-8")
    assert (code, "Damaged, and left out: turn 1." in page, "## 2. `And [/] abroad?`" in page) == (5, True, True)
    code, out, err = run("threads", "list", "house")
    assert (code, "(damaged)" in out, "threads show house" in err) == (0, True, True)
    [_, bert] = json.loads(run("threads", "list", "house", "--json")[1])["threads"]
    assert (bert["thread"], bert["turns"], bert["damaged"]) == ("bert", 1, False)
    assert run("threads", "show", "house", "bert")[0] == 0
    assert run("threads", "delete", "house", "anna", "--yes")[1].strip() == "deleted anna (2 turns)"
    assert run("threads", "show", "house", "anna")[0] == 3


def test_delete_says_that_the_text_is_still_in_the_file(
    run: Run, with_conversations: Domain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chains.conversation.erasure.WAIT_SECONDS", 0.05)
    with_conversations.close()
    other = sqlite3.connect(with_conversations.build / "memory.sqlite", isolation_level=None)
    other.execute("BEGIN")
    other.execute("SELECT COUNT(*) FROM turns").fetchone()
    code, out, err = run("threads", "delete", "house", "anna", "--yes")
    assert (code, out) == (6, "")
    assert "'anna' is deleted, but its text is still in" in err
    code, out, _ = run("threads", "delete", "house", "anna", "--yes", "--json")
    assert (code, json.loads(out)["error"]["type"]) == (6, "ErasureIncompleteError")
    other.close()
    code, out, _ = run("threads", "delete", "house", "anna", "--yes")
    assert (code, out.strip()) == (0, "deleted anna: its text is gone from the file")
    assert run("threads", "delete", "house", "anna", "--yes")[0] == 3


def test_an_exported_file_is_the_owners_alone(run: Run, with_conversations: Domain, tmp_path: Path) -> None:
    assert run("threads", "export", "house", "anna", "--output", "anna.md")[0] == 0
    assert stat.S_IMODE((tmp_path / "anna.md").stat().st_mode) == 0o600


def test_threads_need_no_model(run: Run, with_conversations: Domain) -> None:
    # The backbone is missing.
    settings = with_conversations.folder / "domain.yaml"
    settings.write_text(settings.read_text().replace("backbone: ", "backbone: /nowhere"), encoding="utf-8")
    assert run("threads", "show", "house", "anna")[0] == 0


def test_a_summary_needs_enough_tokens() -> None:
    assert AnswerFileSettings(history_overflow="summarise").history_tokens == 512
    with pytest.raises(ValidationError, match="too small for a summary"):
        AnswerFileSettings(history_overflow="summarise", history_tokens=127)
    assert AnswerFileSettings(history_overflow="summarise", history_tokens=128).history_overflow == "summarise"


def test_the_settings_reach_the_answers(make_domain: Callable[..., Domain]) -> None:
    answer = {"max_tokens": 6, "history_tokens": 40, "history_overflow": "summarise"}
    domain = make_domain("house", ingest=True, answer=answer)
    answering = domain.answering("text-twin")
    assert (answering.settings.history.tokens, answering.settings.history_overflow) == (40, "summarise")
    assert answering.summary_template is not None
    assert make_domain("plain", ingest=True).answering("text-twin").summary_template is None
