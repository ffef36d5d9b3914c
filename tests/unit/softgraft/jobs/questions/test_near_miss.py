"""Near misses: questions moved to another subject or asking for a property, and the check that nothing answers them."""

from __future__ import annotations

from itertools import islice

from retrieval.documents import Passage, RankedPassage
from softgraft.jobs.questions.near_miss import Asked, NearMiss, Subject, near_miss_problem, near_misses
from tests.support.hashing_encoder import HashingEncoder

ASKED = [Asked("How much does a photo card cost?", "a photo card", "amount", "cards")]
SWITCH = Subject("a partial switch", "switching", "Switching", "switching")
TITLES = [Subject("Account switching", "switching", "", "switching")]


def ranked(*texts: str, doc_id: str = "switching", dense: float = 0.8) -> list[RankedPassage]:
    return [RankedPassage(Passage("p", doc_id, "", "", text, 0, len(text)), 1.0, dense, 0.0, 0.0) for text in texts]


def test_a_question_moves_to_the_subject_of_another_document() -> None:
    same_document = Subject("a metal card", "cards", "Cards", "cards")
    plural = Subject("partial switches", "switching", "Switching", "switching")
    found = list(near_misses(ASKED, [same_document, plural, SWITCH], [], "fr", 0))
    assert [(one.question, one.subject, one.kind) for one in found] == [
        ("How much does a partial switch cost?", SWITCH, "amount")
    ]


def test_the_two_kinds_take_turns() -> None:
    first, second, third = islice(near_misses(ASKED, [SWITCH], TITLES, "en", 0), 3)
    assert [bool(one.absent) for one in (first, second, third)] == [False, True, True]
    assert "a partial switch" in second.question
    assert second.question != third.question
    # Titles are the subjects only where there are no others.
    assert "Account switching" in next(near_misses([], [], TITLES, "en", 0)).question
    [chinese] = islice(near_misses([], [], [Subject("借记卡", "k", "", "k")], "zh", 0), 1)
    assert "借记卡" in chinese.question


def problem(near_miss: NearMiss, entries: list[RankedPassage], document: str = "") -> str | None:
    return near_miss_problem(near_miss, entries, document, HashingEncoder(dimension=256))


def test_the_evidence_must_name_the_subject_and_give_no_answer() -> None:
    near_miss = NearMiss("How much does a partial switch cost?", SWITCH, "amount")
    assert problem(near_miss, ranked("A partial switch takes ten days.")) is None
    assert problem(near_miss, ranked("A partial switch does cost £3.")) == "may have an answer"
    assert (
        problem(near_miss, ranked("A partial switch takes ten days.", doc_id="other")) == "its subject is not retrieved"
    )
    assert problem(near_miss, ranked("A partial switch takes ten days.", dense=0.1)) == "its subject is not retrieved"


def test_the_document_must_not_have_the_property() -> None:
    near_miss = NearMiss("Is there a video that explains it?", SWITCH, "", ("video",))
    assert problem(near_miss, ranked("A partial switch takes ten days."), "Nothing more.") is None
    assert problem(near_miss, ranked("A partial switch takes ten days."), "See the Video.") == "may have an answer"
    assert problem(near_miss, ranked("See the video."), "") == "may have an answer"
