"""The rows and comparisons of a report, against examples counted by hand."""

from __future__ import annotations

import json

import pytest

from evaluation import Item, Report, SystemAnswers
from evaluation.report import compare, score_system
from evaluation.systems import ScoredAnswer, score_answer

YES = Item(id="1", question="?", answers=("12",), doc_id="cards")
NO = Item(id="2", question="?", answerable=False)
UNPLACED = Item(id="3", question="?", answers=("12",))


def answer(
    item: Item,
    accuracy: float | None = None,
    f1: float | None = None,
    refused: bool = False,
    citations: tuple[int, int] = (0, 0),
) -> ScoredAnswer:
    return ScoredAnswer(item, "reply", accuracy, f1, f1, refused, None if refused else True, 1, *citations)


def test_a_row_counts_each_kind_of_question_for_itself() -> None:
    answers = (
        answer(YES, 1.0, 0.8, citations=(2, 3)),
        answer(YES, 0.0, 0.2, citations=(1, 1)),
        answer(YES, 0.0, 0.0, refused=True),
        answer(YES, 1.0, 1.0),
        answer(UNPLACED, 1.0, 0.5, citations=(0, 5)),
        answer(NO, None, 0.5, refused=True),
        answer(NO, None, None, refused=True),
        answer(NO, None, 0.0, refused=False, citations=(0, 4)),
    )
    row = score_system(SystemAnswers("soft", answers, 0.25))
    assert (row.system, row.questions, row.seconds_per_answer) == ("soft", 8, 0.25)
    assert row.accuracy is not None
    assert row.token_f1 is not None
    assert row.accuracy.mean == pytest.approx(3 / 5)
    assert row.token_f1.mean == pytest.approx((0.8 + 0.2 + 0 + 1 + 0.5 + 0.5 + 0) / 7)
    assert row.token_f1.low < row.token_f1.mean < row.token_f1.high
    assert row.refusal_accuracy == pytest.approx(2 / 3)
    assert row.wrong_refusals == pytest.approx(1 / 5)
    # Only where it is known where the answer stands: three of four citations are right.
    assert row.citation_precision == pytest.approx(3 / 4)


def test_missing_questions_have_no_score() -> None:
    row = score_system(SystemAnswers("base", (answer(NO, refused=True),), 0.0))
    assert (row.accuracy, row.token_f1, row.wrong_refusals, row.citation_precision) == (None,) * 4
    assert row.refusal_accuracy == 1


def test_a_question_without_a_short_answer_has_no_accuracy() -> None:
    responded = Item(id="4", question="?", response="It costs 12.")
    assert (score_answer(responded, "It costs 12.").accuracy, score_answer(responded, "It costs 12.").f1) == (None, 1.0)
    answers = (score_answer(YES, "12"), score_answer(responded, "It costs 12."))
    row = score_system(SystemAnswers("soft", answers, 0.1))
    assert row.accuracy is not None
    assert row.accuracy.mean == 1.0


def test_a_comparison_is_paired() -> None:
    ours = SystemAnswers("soft", (answer(YES, 1.0, 0.9), answer(YES, 1.0, 0.6), answer(NO, None, None)), 0.1)
    theirs = SystemAnswers("template", (answer(YES, 0.0, 0.4), answer(YES, 1.0, 0.1), answer(NO, None, None)), 0.1)
    found = compare(ours, theirs)
    assert (found.ours, found.theirs) == ("soft", "template")
    assert found.token_f1 is not None
    assert found.accuracy is not None
    assert (found.token_f1.low, found.token_f1.mean, found.token_f1.high) == pytest.approx((0.5, 0.5, 0.5))
    assert found.accuracy.mean == pytest.approx(0.5)
    assert found.token_f1_ratio == pytest.approx(3.0)


def test_a_ratio_to_nothing_is_none() -> None:
    nothing = SystemAnswers("base", (answer(YES, 0.0, 0.0),), 0.1)
    assert compare(nothing, nothing).token_f1_ratio is None


def test_a_report_is_plain_data() -> None:
    row = score_system(SystemAnswers("soft", (answer(YES, 1.0, 0.5),), 0.1))
    again = json.loads(json.dumps(Report((row,), (), None, {"seed": 1}).as_json()))
    assert again["rows"][0]["token_f1"] == {"mean": 0.5, "low": 0.5, "high": 0.5}
    assert (again["comparisons"], again["retrieval"], again["config"]) == ([], None, {"seed": 1})
