"""Stored ratings: what they hold, how they are replaced and deleted, and what damage and other writers do."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rated_house import ANSWER, ASKED, BY

from chains import InputError, MemoryDamagedError, MemoryUnavailableError, UnknownThreadError
from softgraft import feedback
from softgraft.feedback.entry import MAX_CORRECTION
from softgraft.feedback.place import StoredDomain, stored_domain
from tests.support.read_only import read_only

# Left out of `make check`.
pytestmark = pytest.mark.heavy

WORD = "zanzibar"
WRITER = """
import sys
from pathlib import Path
from softgraft import feedback
from softgraft.feedback.place import stored_domain

domain = stored_domain(Path(sys.argv[1]))
for number in range(30):
    feedback.record(domain, "anna", number % 4 + 1, "down", f"{sys.argv[2]} {number}")
"""


def test_a_rating_holds_the_turn_and_what_answered_it(house: StoredDomain) -> None:
    entry = feedback.record(house, "anna", 2, "down", "  Within 5 days. ")
    assert feedback.entries(house) == [entry] == [feedback.entry_of(house, "anna", 2)]
    assert (entry.thread, entry.turn, entry.rating, entry.correction) == ("anna", 2, "down", "Within 5 days.")
    assert (entry.question, entry.answer) == ("And a replacement abroad?", ANSWER)
    assert entry.query == f"{ASKED} And a replacement abroad?"
    assert entry.history == ((ASKED, ANSWER),)
    [quote] = entry.cited
    assert quote.quote == "A replacement card costs 12 euros and arrives within 5 days."
    assert (quote.doc_id, quote.end - quote.start) == ("cards", len(quote.quote))
    assert len(entry.evidence) > 1
    assert (entry.form, entry.refused, entry.answered_by, entry.system) == ("generate", False, BY, "soft")
    assert len(entry.graft) == 12
    assert stat.S_IMODE(house.conversations.path.stat().st_mode) == 0o600
    assert feedback.record(house, "anna", 3, "up").refused


def test_a_second_rating_replaces_the_first_and_leaves_nothing_of_it(house: StoredDomain) -> None:
    feedback.record(house, "anna", 1, "down", f"It is in {WORD}.")
    feedback.record(house, "bert", 1, "down")
    feedback.record(house, "anna", 1, "up")
    assert [(one.thread, one.rating, one.correction) for one in feedback.entries(house)] == [
        ("bert", "down", ""), ("anna", "up", ""),
    ]  # fmt: skip
    assert holding(house, WORD) == []
    assert feedback.withdraw(house, "anna", 1)
    assert not feedback.withdraw(house, "anna", 1)
    assert [one.thread for one in feedback.entries(house)] == ["bert"]


def test_feedback_is_deleted_with_its_conversation(house: StoredDomain) -> None:
    feedback.record(house, "anna", 1, "down", f"It is in {WORD}.")
    feedback.record(house, "bert", 1, "up")
    assert holding(house, WORD) != []
    house.conversations.delete("anna")
    assert [one.thread for one in feedback.entries(house)] == ["bert"]
    assert holding(house, WORD) == []
    with pytest.raises(UnknownThreadError):
        feedback.record(house, "anna", 1, "up")


def holding(domain: StoredDomain, word: str) -> list[str]:
    """Names of the database's files that contain the word; the database is closed first."""
    domain.conversations.close()
    path = domain.conversations.path
    return [
        file.name for file in path.parent.glob(f"{path.name}*") if file.is_file() and word.encode() in file.read_bytes()
    ]


@pytest.mark.parametrize(
    ("thread", "turn", "rating", "correction", "error", "found"),
    [
        ("carl", 1, "up", None, UnknownThreadError, "no conversation 'carl'"),
        ("anna", 5, "up", None, UnknownThreadError, "no turn 5 in the conversation 'anna', which has 4"),
        ("anna", 0, "up", None, InputError, "the turn 0"),
        ("anna", True, "up", None, InputError, "the turn True"),
        ("anna", 2**70, "up", None, InputError, "the turn 1180591620717411303424"),
        ("anna", 1, "good", None, InputError, "the rating 'good'"),
        ("anna", 1, [], None, InputError, "the rating []"),
        ("anna", 1, "down", " \n", InputError, "an empty correction"),
        ("anna", 1, "down", "x" * (MAX_CORRECTION + 1), InputError, "a correction of 8,001 characters"),
        ("anna", 1, "down", "\ud800", InputError, "a lone surrogate"),
        ("\ud800", 1, "up", None, InputError, "the thread id"),
    ],
)
def test_what_cannot_be_a_rating_is_refused(
    house: StoredDomain, thread: str, turn: int, rating: str, correction: str, error: type[Exception], found: str
) -> None:
    with pytest.raises(error) as caught:
        feedback.record(house, thread, turn, rating, correction)  # type: ignore[arg-type]
    assert found in caught.value.found  # type: ignore[attr-defined]
    assert feedback.entries(house) == []


def test_nothing_is_created_for_a_domain_without_conversations(tmp_path: Path, house: StoredDomain) -> None:
    house.conversations.close()
    empty = stored_domain(house.folder)
    object.__setattr__(empty, "conversations", type(empty.conversations)(tmp_path / "none" / "memory.sqlite"))
    assert feedback.entries(empty) == feedback.per_day(empty) == []
    assert feedback.entry_of(empty, "anna", 1) is None
    assert not feedback.withdraw(empty, "anna", 1)
    with pytest.raises(UnknownThreadError):
        feedback.record(empty, "anna", 1, "up")
    assert not (tmp_path / "none").exists()


def test_a_changed_row_is_named_and_leaves_the_others(house: StoredDomain) -> None:
    for turn in (1, 2):
        feedback.record(house, "anna", turn, "down", "It costs 12 euros.")
    change(
        house, "UPDATE feedback SET entry = CAST(REPLACE(CAST(entry AS TEXT), '12 e', '99 e') AS BLOB) WHERE turn = 1"
    )
    found = feedback.read_feedback(house)
    assert [one.turn for one in found.entries] == [2]
    assert found.damaged == ("the feedback on turn 1 of 'anna'",)
    # A row that was moved to another turn is not taken for feedback on it.
    change(house, "UPDATE feedback SET turn = 3 WHERE turn = 2")
    assert feedback.entries(house) == []
    # Rating again repairs it.
    feedback.record(house, "anna", 1, "up")
    assert feedback.read_feedback(house).damaged == ("the feedback on turn 3 of 'anna'",)


def test_a_damaged_turn_is_not_rated(house: StoredDomain) -> None:
    house.conversations.threads()
    change(house, "UPDATE turns SET digest = x'00' WHERE thread_id = 'anna' AND number = 2")
    with pytest.raises(MemoryDamagedError):
        feedback.record(house, "anna", 2, "up")
    # The turns beside it can be.
    assert feedback.record(house, "anna", 3, "up").history[0][0] == ASKED


def change(domain: StoredDomain, statement: str) -> None:
    domain.conversations.close()
    with sqlite3.connect(domain.conversations.path) as connection:
        assert connection.execute(statement).rowcount
    connection.close()


def test_a_disk_without_rights_is_an_error_that_says_so(house: StoredDomain) -> None:
    feedback.record(house, "anna", 1, "up")
    house.conversations.close()
    with read_only(house.build), pytest.raises(MemoryUnavailableError) as caught:
        feedback.record(house, "anna", 2, "up")
    house.conversations.close()
    assert str(house.conversations.path) in caught.value.found
    assert [one.turn for one in feedback.entries(house)] == [1]


def test_two_processes_write_at_once(house: StoredDomain) -> None:
    house.conversations.close()
    running = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(house.folder), name], stderr=subprocess.PIPE, text=True)
        for name in ("one", "two")
    ]
    assert [process.communicate(timeout=60)[1] for process in running] == ["", ""]
    assert [process.returncode for process in running] == [0, 0]
    found = feedback.read_feedback(house)
    assert found.damaged == ()
    assert sorted(one.turn for one in found.entries) == [1, 2, 3, 4]
    # Each row is the last one of a process.
    assert {one.correction.split()[1] for one in found.entries} <= {"26", "27", "28", "29"}


def test_days_count_each_rating_once(house: StoredDomain, monkeypatch: pytest.MonkeyPatch) -> None:
    def on(day: str) -> Callable[[], str]:
        return lambda: f"{day}T10:00:00+00:00"

    monkeypatch.setattr("softgraft.feedback.store.now", on("2026-01-02"))
    feedback.record(house, "anna", 1, "up")
    feedback.record(house, "anna", 2, "down", "No.")
    monkeypatch.setattr("softgraft.feedback.store.now", on("2026-01-03"))
    feedback.record(house, "anna", 1, "down")
    days = [(one.day, one.up, one.down, one.corrections) for one in feedback.per_day(house)]
    assert days == [("2026-01-02", 0, 1, 1), ("2026-01-03", 0, 1, 0)]


def test_a_turn_of_an_earlier_version_can_be_rated(house: StoredDomain) -> None:
    memory = house.conversations.memory
    found = memory.get_tuple({"configurable": {"thread_id": "anna"}})
    assert found is not None
    values = found.checkpoint["channel_values"]
    old = [{name: turn[name] for name in ("question", "answer", "citations")} for turn in values["turns"]]
    key = {"thread_id": "anna", "checkpoint_ns": ""}
    memory.put(
        {"configurable": key},  # type: ignore[arg-type]
        {**found.checkpoint, "channel_values": {**values, "turns": old}},
        found.metadata,
        {},
    )
    entry = feedback.record(house, "anna", 2, "down", "No.")
    assert (entry.query, entry.graft, entry.system, entry.form) == ("", "", "", "")
    assert entry.history == ((ASKED, ANSWER),)
    assert entry.cited
