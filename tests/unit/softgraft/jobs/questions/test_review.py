"""Reviewing drafts: what enters train.jsonl, and what a kill or an edit leaves."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from evaluation import read_items
from evaluation.added_rows import adding_rows, append_rows
from evaluation.errors import ItemsError
from evaluation.items import Item
from softgraft import Domain
from softgraft.errors import UsageError
from softgraft.jobs.questions.draft_file import Draft, DraftFile
from softgraft.jobs.questions.review import DraftChangedError, Edit, Review


def draft(number: int, **fields: object) -> Draft:
    given = {
        "id": f"draft-{number}", "question": f"What does card {number} cost?", "answers": ("£3",), "doc_id": "cards",
        "response": "Card costs £3.", "quote": "It costs £3.", "group": "cards", **fields,
    }  # fmt: skip
    return Draft.model_validate(given)


@pytest.fixture
def domain(make_domain: Callable[..., Domain]) -> Domain:
    made = make_domain("house")
    (made.folder / "train.jsonl").unlink()
    file = DraftFile(made.folder, made.build)
    for number in range(3):
        file.append(draft(number))
    file.append(draft(3, answerable=False, answers=(), response="No."))
    return made


def train(domain: Domain) -> Path:
    return domain.folder / "train.jsonl"


def test_only_accepted_drafts_enter_train(domain: Domain) -> None:
    review = Review(domain)
    first, second, _, last = review.left()
    review.accept(first)
    review.reject(second)
    review.accept(last)
    assert [(item.id, item.doc_id, item.answerable) for item in read_items(train(domain))] == [
        ("draft-0", "cards", True), ("draft-3", "", False),
    ]  # fmt: skip
    again = Review(domain)
    assert [one.id for one in again.left()] == ["draft-2"]
    assert again.counts() == {"drafted": 4, "accepted": 2, "rejected": 1, "left": 1, "unanswerable": 1}


def test_lines_of_train_stay_as_they_are(domain: Domain) -> None:
    own = '{"id": "mine", "question": "Why?", "answers": ["so"]}'
    train(domain).write_text(own, encoding="utf-8")
    Review(domain).accept(draft(0))
    lines = train(domain).read_text(encoding="utf-8").splitlines()
    assert lines[0] == own
    assert [item.id for item in read_items(train(domain))] == ["mine", "draft-0"]


def test_reviews_and_others_that_add_rows_at_once_lose_nothing(domain: Domain) -> None:
    reviews = [Review(domain), Review(domain)]
    rows = [Item(id=f"own-{number}", question=f"Why {number}?", response="So.") for number in range(30)]

    def add_rows() -> None:
        for row in rows:
            with adding_rows(domain.build):
                append_rows(train(domain), [row.model_dump_json(exclude_defaults=True)])

    def review_all(review: Review) -> None:
        for one in review.left():
            review.accept(one)

    with ThreadPoolExecutor(3) as pool:
        works = [pool.submit(add_rows), *(pool.submit(review_all, review) for review in reviews)]
    for work in works:
        work.result()
    ids = [item.id for item in read_items(train(domain))]
    # Both reviews accepted each draft, which stands there once.
    assert sorted(ids) == sorted([*(row.id for row in rows), *(f"draft-{number}" for number in range(4))])


def test_a_kill_between_the_two_files_accepts_once(domain: Domain, monkeypatch: pytest.MonkeyPatch) -> None:
    review = Review(domain)
    monkeypatch.setattr(DraftFile, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        review.accept(review.left()[0])
    monkeypatch.undo()
    again = Review(domain)
    assert again.counts()["accepted"] == 1
    assert [one.id for one in again.left()] == ["draft-1", "draft-2", "draft-3"]
    assert len(read_items(train(domain))) == 1


def test_edits_are_kept(domain: Domain) -> None:
    review = Review(domain)
    first = review.left()[0]
    edited = review.edit(first, Edit(answer="£4"))
    assert (edited.answers, edited.response) == (("£4",), "£4")
    edited = review.edit(edited, Edit(question="How much?", reply="It is £4."))
    assert Review(domain).left()[0] == edited
    assert (edited.question, edited.answers, edited.response) == ("How much?", ("£4",), "It is £4.")
    assert review.edit(edited, Edit()) == edited
    # An answer that the reply holds keeps the reply, and a question without an answer gets none.
    assert review.edit(edited, Edit(answer="is £4")).response == "It is £4."
    last = review.left()[-1]
    assert review.edit(last, Edit(answer="£9", reply="Never.")).answers == ()


def test_an_edit_after_another_review_accepted_is_refused_and_shown(domain: Domain) -> None:
    first, second = Review(domain), Review(domain)
    shown = second.left()[0]
    first.accept(first.left()[0])
    with pytest.raises(DraftChangedError) as caught:
        second.edit(shown, Edit(question="How much?", answer="£4"))
    error = caught.value
    assert "accepted by another review" in error.found
    # What was typed is not lost, and the line to change is named.
    assert '"id":"draft-0"' in error.next_step
    assert '"question":"How much?"' in error.next_step
    assert str(train(domain)) in error.next_step
    [row] = read_items(train(domain))
    assert row.question == shown.question
    assert DraftFile(domain.folder, domain.build).read()[0] == error.current
    assert (error.current.question, error.current.decision) == (shown.question, "accepted")
    assert second.counts()["accepted"] == 1


def test_accepting_another_text_than_was_accepted_is_refused(domain: Domain) -> None:
    first, second = Review(domain), Review(domain)
    shown = second.left()[0]
    first.accept(first.edit(first.left()[0], Edit(question="How much?")))
    with pytest.raises(DraftChangedError, match="accepted by another review"):
        second.accept(shown)
    assert [row.question for row in read_items(train(domain))] == ["How much?"]
    assert DraftFile(domain.folder, domain.build).read()[0].question == "How much?"


@pytest.mark.parametrize("decide", [Review.accept, Review.reject])
def test_an_edit_of_another_review_is_not_overwritten(domain: Domain, decide: Callable[[Review, Draft], None]) -> None:
    first, second = Review(domain), Review(domain)
    shown = second.left()[0]
    edited = first.edit(first.left()[0], Edit(question="How much?"))
    with pytest.raises(DraftChangedError, match="changed by another review") as caught:
        decide(second, shown)
    assert caught.value.current == edited
    with pytest.raises(DraftChangedError, match="changed by another review"):
        second.edit(shown, Edit(answer="£5"))
    assert DraftFile(domain.folder, domain.build).read()[0] == edited
    assert not train(domain).exists()
    # The new text can be decided about.
    decide(second, caught.value.current)
    assert "draft-0" not in [one.id for one in Review(domain).left()]


def test_a_decision_against_that_of_another_review_is_refused(domain: Domain) -> None:
    first, second = Review(domain), Review(domain)
    accepted, rejected = second.left()[:2]
    first.accept(first.left()[0])
    first.reject(first.left()[0])
    with pytest.raises(DraftChangedError, match="accepted by another review") as caught:
        second.reject(accepted)
    assert "delete the line" in caught.value.next_step
    with pytest.raises(DraftChangedError, match="rejected by another review") as caught:
        second.accept(rejected)
    assert "drafts.jsonl" in caught.value.next_step
    with pytest.raises(DraftChangedError, match="rejected by another review"):
        second.edit(rejected, Edit(question="How much?"))
    assert [row.id for row in read_items(train(domain))] == ["draft-0"]
    assert Review(domain).counts() == {"drafted": 4, "accepted": 1, "rejected": 1, "left": 2, "unanswerable": 1}


def test_a_draft_that_was_deleted_meanwhile_is_not_accepted(domain: Domain) -> None:
    review = Review(domain)
    (domain.folder / "drafts.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(DraftChangedError, match="deleted from"):
        review.accept(review.left()[0])
    assert not train(domain).exists()


def test_malformed_files_and_other_tasks_are_refused(domain: Domain, make_domain: Callable[..., Domain]) -> None:
    train(domain).write_text("{}\n", encoding="utf-8")
    with pytest.raises(ItemsError, match=r"line 1 of .*train.jsonl"):
        Review(domain)
    train(domain).rename(domain.folder / "train.csv")
    with pytest.raises(UsageError, match=r"train.csv"):
        Review(domain)
    other = make_domain("labels", task="classification", template="classification")
    with pytest.raises(UsageError, match="classification"):
        Review(other)
