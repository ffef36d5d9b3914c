"""Intervals against published values, the sign test, and counts per graft and pair."""

from __future__ import annotations

import pytest

from softgraft.feedback.counts import per_graft
from softgraft.feedback.entry import Feedback
from softgraft.feedback.intervals import Share, sign_test, wilson
from softgraft.feedback.preferences import Pair, Preference, per_pair

PAIR = Pair(systems=("soft", "quote"), grafts=("a", "b"))


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    # Newcombe (1998), table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_intervals_are_the_published_ones(successes: int, trials: int, low: float, high: float) -> None:
    found = wilson(successes, trials)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)
    assert found.share == successes / trials


def test_a_share_of_nothing_is_unknown() -> None:
    assert wilson(0, 0) == Share(None, 0.0, 1.0)
    assert wilson(5, 5).high == 1.0
    with pytest.raises(ValueError, match="3 successes of 2 trials"):
        wilson(3, 2)


@pytest.mark.parametrize(
    ("wins", "losses", "p"), [(0, 0, 1.0), (3, 3, 1.0), (5, 0, 0.0625), (9, 1, 22 / 1024), (1, 9, 22 / 1024)]
)
def test_the_sign_test_is_exact(wins: int, losses: int, p: float) -> None:
    assert sign_test(wins, losses) == pytest.approx(p, abs=1e-12)


def test_many_judgements_do_not_overflow() -> None:
    assert 0 < sign_test(2600, 2400) < 0.01


def rated(turn: int, rating: str, by: dict[str, str], form: str = "generate", correction: str = "") -> Feedback:
    return Feedback.model_validate(
        {
            "thread": "anna", "turn": turn, "at": f"2026-01-0{turn}T10:00:00+00:00", "rating": rating,
            "question": "Why?", "answer": "So.", "answered_by": by, "form": form, "correction": correction,
        }
    )  # fmt: skip


def test_each_graft_is_counted_for_itself() -> None:
    old, new = {"system": "soft", "soft_prompt": "a"}, {"system": "soft", "soft_prompt": "b"}
    counted = per_graft(
        [
            rated(5, "up", new), rated(1, "down", old, correction="No."), rated(2, "up", old), rated(3, "up", {}),
            rated(4, "up", new, form="quote"),
        ]
    )  # fmt: skip
    assert [(one.soft_prompt, one.form, one.up, one.down, one.corrections) for one in counted] == [
        ("a", "generate", 1, 1, 1), ("", "generate", 1, 0, 0), ("b", "quote", 1, 0, 0), ("b", "generate", 1, 0, 0),
    ]  # fmt: skip
    assert (counted[0].first, counted[0].last, counted[0].share.share) == ("2026-01-01", "2026-01-02", 0.5)
    assert len({one.graft for one in counted}) == 3
    assert counted[1].graft == ""


def test_ties_count_for_no_system() -> None:
    def judged(number: int, preferred: str, identical: bool = False) -> Preference:
        return Preference.model_validate(
            {
                "pair": PAIR, "question_id": str(number), "question": "Why?", "preferred": preferred,
                "identical": identical, "at": "2026-01-01T10:00:00+00:00",
            }
        )  # fmt: skip

    [found] = per_pair(
        [judged(1, "first"), judged(2, "first"), judged(3, "second"), judged(4, "tie"), judged(5, "tie", True)]
    )
    assert (found.first, found.second, found.ties, found.identical) == (2, 1, 2, 1)
    assert (found.share, found.p) == (wilson(2, 3), 1.0)
