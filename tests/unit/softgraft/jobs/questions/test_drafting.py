"""Drafting with a domain's index and a tiny random backbone: what is written, what is checked, and resuming."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from evaluation import read_items
from retrieval import NotIngestedError
from softgraft import Domain
from softgraft.errors import UsageError
from softgraft.jobs.questions import drafting, writer
from softgraft.jobs.questions.draft_file import Draft, DraftFile
from softgraft.jobs.questions.drafting import draft_questions
from softgraft.jobs.questions.round_trip import RoundTrip
from tests.support.small_bank import ScriptedChat

# Left out of `make check`.
pytestmark = pytest.mark.heavy

LEAFLET = """# Loans

A personal loan takes 3 working days to arrive. If you repay early, we charge £30.

## Rates

The standard rate is 7.5%. A larger loan costs £12 a month. You can borrow up to £9,000 in the app.

## Desk

The loan desk opens at 9am. The Fenwick Cross counter is managed by Jane Larkmoor.
"""


@pytest.fixture
def domain(make_domain: Callable[..., Domain]) -> Domain:
    made = make_domain("house")
    (made.folder / "train.jsonl").unlink()
    (made.folder / "docs" / "loans.md").write_text(LEAFLET, encoding="utf-8")
    made.ingest()
    return made


@pytest.fixture(autouse=True)
def any_gain(monkeypatch: pytest.MonkeyPatch) -> None:
    """The likelihoods of a random backbone say nothing about the answers."""
    monkeypatch.setattr("softgraft.jobs.questions.round_trip.LEAST_GAIN", float("-inf"))


def test_drafts_are_spans_of_the_documents(domain: Domain) -> None:
    seen: list[tuple[int, int]] = []
    report = draft_questions(
        domain, count=6, wording="rules", on_progress=lambda done, total: seen.append((done, total))
    )
    drafts = DraftFile(domain.folder, domain.build).read()
    assert (report.drafts, report.new, report.complete) == (6, 6, True)
    assert report.generated == 6 + sum(report.dropped.values())
    assert seen == [(n, 6) for n in range(7)]
    assert len({draft.id for draft in drafts}) == 6
    for draft in drafts:
        if draft.answerable:
            assert domain.index.document(draft.doc_id).text[draft.start : draft.end] == draft.quote
            assert all(answer in draft.quote for answer in draft.answers)
            assert draft.answers[0] in draft.response
        else:
            assert (draft.answers, draft.response) == ((), domain.file.refusal)
    assert report.unanswerable == sum(not draft.answerable for draft in drafts) == 1
    assert not (domain.folder / "train.jsonl").exists()


@pytest.mark.heavy
def test_a_second_run_continues_as_one_run_would(domain: Domain, tmp_path: Path) -> None:
    draft_questions(domain, count=6, wording="rules")
    file = DraftFile(domain.folder, domain.build)
    at_once = file.read()
    file.path.unlink()
    (domain.build / "drafts-tried.jsonl").unlink()
    for count in (2, 3, 6):
        draft_questions(domain, count=count, wording="rules")
    assert file.read() == at_once
    assert draft_questions(domain, count=6, wording="rules").generated == 0


@pytest.mark.heavy
def test_a_stopped_run_loses_no_draft(domain: Domain) -> None:
    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draft_questions(domain, count=6, wording="rules", on_progress=stop)
    file = DraftFile(domain.folder, domain.build)
    assert len(file.read()) == 3
    draft_questions(domain, count=6, wording="rules")
    assert len({draft.question for draft in file.read()}) == 6


def test_a_run_that_ends_before_it_writes_a_draft_writes_it_later(
    domain: Domain, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft_questions(domain, count=6, wording="rules")
    file = DraftFile(domain.folder, domain.build)
    at_once = file.read()
    append = DraftFile.append
    for number in range(6):
        file.path.unlink()
        (domain.build / "drafts-tried.jsonl").unlink(missing_ok=True)

        def ends(self: DraftFile, draft: Draft, number: int = number) -> None:
            if len(self.read()) == number:
                raise KeyboardInterrupt
            append(self, draft)

        with monkeypatch.context() as patch:
            patch.setattr(DraftFile, "append", ends)
            with pytest.raises(KeyboardInterrupt):
                draft_questions(domain, count=6, wording="rules")
        draft_questions(domain, count=6, wording="rules")
        assert file.read() == at_once


def test_damaged_lines_of_what_was_tried_are_passed_over(domain: Domain) -> None:
    tried = domain.build / "drafts-tried.jsonl"
    tried.write_text('5\n[["a"], "rules"]\n{"a": 1}\n["one"]\n \n{half\n["key", "rules"]\n', encoding="utf-8")
    assert draft_questions(domain, count=1, wording="rules").new == 1


@pytest.mark.heavy
def test_the_documents_may_give_fewer(domain: Domain) -> None:
    report = draft_questions(domain, count=500, wording="rules")
    assert not report.complete
    assert report.drafts == report.new < 60
    assert draft_questions(domain, count=500, wording="rules").new == 0


@pytest.mark.heavy
def test_questions_of_train_do_not_come_again(domain: Domain) -> None:
    draft_questions(domain, count=4, wording="rules")
    file = DraftFile(domain.folder, domain.build)
    first = next(draft for draft in file.read() if draft.answerable)
    (domain.folder / "train.jsonl").write_text(first.item().model_dump_json() + "\n", encoding="utf-8")
    file.path.unlink()
    (domain.build / "drafts-tried.jsonl").unlink()
    report = draft_questions(domain, count=4, wording="rules")
    assert first.question not in [draft.question for draft in file.read()]
    assert report.dropped["too close to another question"] >= 1


@pytest.mark.heavy
def test_the_answer_must_gain_from_its_question(domain: Domain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("softgraft.jobs.questions.round_trip.LEAST_GAIN", float("inf"))
    report = draft_questions(domain, count=4, wording="rules")
    assert report.drafts == report.unanswerable
    assert report.dropped["its answer is not the likely one"] >= 4


@pytest.mark.heavy
def test_the_backbone_words_what_the_rules_do_not(domain: Domain) -> None:
    made = drafting.spread_sources(domain.index.document_ids(), domain.index.document, 0)
    name = next(source for source in made if source.kind == "name")
    writing = writer.question_writer(domain, None)
    questions = writing.write(name, 0)
    assert (questions, writing.name) == (writing.write(name, 0), domain.file.backbone)
    assert all("\n" not in question for question in questions)


def test_a_chat_model_words_all(domain: Domain, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def reply(text: str) -> str:
        asked.append(text)
        return 'Question: "When does the loan desk of the counter open?"\nMore.'

    chat = ScriptedChat(answer=reply)
    monkeypatch.setattr(writer, "remote_chat", lambda name, **_: chat)
    report = draft_questions(domain, count=1, model="openai:gpt-4o-mini")
    assert "Answer: " in asked[0]
    assert report.writers == {"openai:gpt-4o-mini": 1}
    [draft] = DraftFile(domain.folder, domain.build).read()
    assert (draft.question, draft.answers) == ("When does the loan desk of the counter open?", ("9am",))
    assert draft.response == draft.quote == "The loan desk opens at 9am."
    assert writer.cleaned('Question: "Why?"\nMore.') == "Why?"
    with pytest.raises(UsageError, match="--with gpt"):
        draft_questions(domain, count=9, model="gpt")


def test_each_check_has_its_reason(domain: Domain) -> None:
    made = drafting.spread_sources(domain.index.document_ids(), domain.index.document, 0)
    source = next(source for source in made if source.answers == ("9am",))
    round_trip = RoundTrip(domain)
    questions = [
        "What time does the loan desk open?",
        "What does a transfer overseas with the receipt cost?",
        "Does the loan desk open at 9am?",
    ]
    reasons = [verdict.problem for verdict in round_trip.check(source, questions)]
    assert reasons == [None, "about something else", "contains its answer"]
    far = "What does the young saver pay at the age of the transfer?"
    assert round_trip.check(source, [far])[0].problem == "its sentence is not retrieved"
    round_trip.add_known([questions[0]], [("loans", source.start)])
    assert round_trip.check(source, questions[:1])[0].problem == "too close to another question"


def test_no_index_is_an_error_with_the_next_command(make_domain: Callable[..., Domain]) -> None:
    with pytest.raises(NotIngestedError) as caught:
        draft_questions(make_domain("empty"))
    assert caught.value.next_step.startswith("run: softgraft ingest ")


@pytest.mark.heavy
def test_extractive_domains_get_no_reply(make_domain: Callable[..., Domain]) -> None:
    made = make_domain("short", ingest=True, task="extractive-qa", template="rag-chat")
    draft_questions(made, count=2, wording="rules")
    drafts = DraftFile(made.folder, made.build).read()
    assert drafts
    assert all(draft.response == "" for draft in drafts if draft.answerable)


def test_what_was_tried_is_remembered(domain: Domain) -> None:
    report = draft_questions(domain, count=4, wording="rules")
    lines = (domain.build / "drafts-tried.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == report.generated
    assert all(json.loads(line)[1] == "rules" for line in lines)
    assert all(item.answerable for item in read_items(domain.folder / "dev.jsonl"))
