"""Which feedback becomes a row of train.jsonl, with which evidence, and what a kill leaves."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from full_disk import full_disk
from house_domain import item, write_items
from rated_house import ANSWER, ASKED

from evaluation import read_items
from softgraft import feedback
from softgraft.errors import UsageError
from softgraft.feedback.acceptance import Acceptance
from softgraft.feedback.held_out import plain
from softgraft.feedback.place import StoredDomain
from tests.support.small_bank import REFUSAL

# Left out of `make check`.
pytestmark = pytest.mark.heavy

QUOTE = "A replacement card costs 12 euros and arrives within 5 days."
# Accepts everything, and is killed when train.jsonl is about to be replaced, or just afterwards.
KILLED = """
import os, signal, sys
from pathlib import Path
from softgraft.feedback.acceptance import Acceptance
from softgraft.feedback.place import stored_domain

def kill(event, arguments):
    if event == sys.argv[2] and "train.jsonl" in str(arguments[0]):
        os.kill(os.getpid(), signal.SIGKILL)

acceptance = Acceptance(stored_domain(Path(sys.argv[1])))
offer = acceptance.offer()
assert len(offer.candidates) == 2
sys.addaudithook(kill)
acceptance.add(offer.candidates)
"""


@pytest.fixture
def corrected(house: StoredDomain) -> StoredDomain:
    """Two corrections, an answer that was rated up and one that was rated down."""
    write_items(house.folder / "dev.jsonl", [item(1, "Is the debit card free?", doc_id="savings", group="savings")])
    write_items(house.folder / "test.jsonl", [item(2, "Is it nice?", doc_id="savings", group="savings")])
    feedback.record(house, "anna", 1, "down", "A replacement card costs 12 euros, within 5 days.")
    feedback.record(house, "anna", 2, "down", "The documents \x1b[2Jdo not say.\u2028")
    feedback.record(house, "anna", 3, "down")
    feedback.record(house, "bert", 1, "up")
    return house


def train(domain: StoredDomain) -> Path:
    return domain.folder / "train.jsonl"


def accept_all(domain: StoredDomain, **options: bool) -> tuple[str, ...]:
    acceptance = Acceptance(domain, **options)
    return acceptance.add(acceptance.offer().candidates).added


def test_corrections_become_rows_with_their_evidence(corrected: StoredDomain) -> None:
    before = train(corrected).read_bytes()
    offer = Acceptance(corrected).offer()
    assert train(corrected).read_bytes() == before
    assert offer.left_out == ()
    added = accept_all(corrected)
    assert train(corrected).read_bytes().startswith(before)
    first, second = read_items(train(corrected))[-2:]
    assert added == (first.id, second.id)
    assert (first.question, first.response) == (ASKED, "A replacement card costs 12 euros, within 5 days.")
    assert (first.doc_id, first.quote, first.group, first.history) == ("cards", QUOTE, "cards", ())
    # A follow-up keeps the turns before it; what no evidence supports names no document, and a note says so.
    assert (second.response, second.doc_id) == ("The documents \x1b[2Jdo not say.", "")
    assert second.history == ((ASKED, ANSWER),)
    assert [len(one.notes) for one in offer.candidates] == [0, 1]


def test_nothing_is_added_twice(corrected: StoredDomain) -> None:
    offer = Acceptance(corrected).offer()
    assert len(accept_all(corrected)) == 2
    content = train(corrected).read_bytes()
    again = Acceptance(corrected).add(offer.candidates)
    assert again.added == ()
    assert all("added" in one.reason for one in again.left_out)
    assert Acceptance(corrected).offer().candidates == ()
    # Another correction of the same answer does not change what was accepted.
    feedback.record(corrected, "anna", 1, "down", "It is 13.")
    assert Acceptance(corrected).offer() == type(offer)((), ())
    assert train(corrected).read_bytes() == content
    # A row that somebody removed stays removed.
    train(corrected).write_text("", encoding="utf-8")
    [first, _] = Acceptance(corrected).offer().left_out
    assert "was accepted on" in first.reason
    assert "removed from train.jsonl" in first.reason


def test_two_corrections_of_one_question_give_one_row(corrected: StoredDomain) -> None:
    write_items(train(corrected), [item(9, " what does a REPLACEMENT card cost")])
    [left_out] = Acceptance(corrected).offer().left_out
    assert left_out.reason == "its question stands in train.jsonl already, or is about to (q9)"


def test_rated_up_answers_are_added_if_asked_for(corrected: StoredDomain) -> None:
    feedback.record(corrected, "anna", 3, "up")
    assert len(Acceptance(corrected).offer().candidates) == 2
    accept_all(corrected, rated_up=True)
    by_question = {one.question: one for one in read_items(train(corrected))}
    assert by_question["Is a transfer inside the country free?"].response == ANSWER
    refusal = by_question["Who was Napoleon?"]
    assert (refusal.response, refusal.answerable, refusal.doc_id) == (REFUSAL, False, "")


@pytest.mark.parametrize("split", ["dev", "test"])
def test_a_held_out_question_is_never_added(corrected: StoredDomain, split: str) -> None:
    write_items(corrected.folder / f"{split}.jsonl", [item(1, f"{ASKED.upper()} ", doc_id="savings")])
    offer = Acceptance(corrected).offer()
    assert [one.reason for one in offer.left_out] == [f"its question stands in {split}, which must not be trained on"]
    added = accept_all(corrected, held_out_documents=True)
    assert offer.left_out[0].entry.id not in added


def test_a_document_of_test_is_only_added_on_demand(corrected: StoredDomain) -> None:
    write_items(train(corrected), [])
    write_items(corrected.folder / "test.jsonl", [item(1, "Is it nice?", doc_id="cards")])
    [left_out] = Acceptance(corrected).offer().left_out
    assert left_out.reason.startswith("only test asks about its document cards")
    assert len(accept_all(corrected, held_out_documents=True)) == 2


def test_without_a_dev_file_a_note_says_what_changes(corrected: StoredDomain) -> None:
    (corrected.folder / "dev.jsonl").unlink()
    assert all("dev is cut from train.jsonl" in one.notes[-1] for one in Acceptance(corrected).offer().candidates)


def test_what_changed_since_it_was_shown_is_not_added(corrected: StoredDomain) -> None:
    offer = Acceptance(corrected).offer()
    feedback.record(corrected, "anna", 1, "down", "It is 13.")
    feedback.withdraw(corrected, "anna", 2)
    done = Acceptance(corrected).add(offer.candidates)
    assert done.added == ()
    assert {one.reason for one in done.left_out} == {"it was added, changed or deleted meanwhile"}


def test_a_csv_file_is_refused(corrected: StoredDomain) -> None:
    train(corrected).unlink()
    (corrected.folder / "train.csv").write_text("question,answers\nWhy?,so\n", encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        Acceptance(corrected)
    assert "train.csv" in caught.value.found


def test_train_without_a_last_line_break_and_without_an_index(corrected: StoredDomain) -> None:
    own = json.dumps(item(1, "Mine?"))
    train(corrected).write_text(own, encoding="utf-8")
    (corrected.build / "index" / "index.sqlite").unlink()
    assert len(accept_all(corrected)) == 2
    assert train(corrected).read_text(encoding="utf-8").split("\n")[0] == own
    # Without the documents, the quotes of the answer are the evidence.
    assert read_items(train(corrected))[1].quote == QUOTE


@pytest.mark.parametrize(("event", "rows"), [("os.rename", 4), ("os.remove", 6)])
def test_a_kill_leaves_the_old_or_the_new_file(corrected: StoredDomain, event: str, rows: int) -> None:
    corrected.conversations.close()
    before = train(corrected).read_bytes()
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(corrected.folder), event],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (killed.returncode, killed.stderr) == (-9, "")
    assert len(read_items(train(corrected))) == rows
    assert train(corrected).read_bytes().startswith(before)
    assert [one.accepted for one in feedback.entries(corrected)] == [""] * 4
    # The next run adds what is missing, and marks what the killed one added.
    assert len(accept_all(corrected)) == 6 - rows
    assert len(read_items(train(corrected))) == 6
    assert sum(bool(one.accepted) for one in feedback.entries(corrected)) == 2


def test_a_full_disk_leaves_the_old_file(corrected: StoredDomain) -> None:
    # Longer than the databases, which the limit must not touch.
    write_items(train(corrected), [item(number, f"Question {number}? " + "so " * 1000) for number in range(200)])
    before = train(corrected).read_bytes()
    acceptance = Acceptance(corrected)
    offer = acceptance.offer()
    with full_disk(len(before) + 10), pytest.raises(OSError, match="too large"):
        acceptance.add(offer.candidates)
    assert train(corrected).read_bytes() == before
    assert len(accept_all(corrected)) == 2


def test_spellings_of_a_question_are_equal() -> None:
    same: Callable[[str, str], bool] = lambda one, other: plain(one) == plain(other)  # noqa: E731
    assert same("What's the fee?", "whats the FEE")
    assert same("费用是多少？", "费用是多少?")
    assert not same("?", "!")
    assert not same("Is it 12?", "Is it 13?")
