"""The evidence score: a probability, its calibration, and its threshold."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from retrieval import EvidenceScale, Passage, RankedPassage
from retrieval.ranking.evidence_features import VECTOR_FEATURES, WORD_FEATURES, JudgedRanking
from retrieval.ranking.evidence_score import LabelledRanking, LogisticModel, calibration_error, fit_scale

RANKED = [RankedPassage(Passage("p", "d", "", "", "text", 0, 4), 0.0, 0.0, 0.0, 0.0)]


def judged(strength: float, *, own: float | None = None) -> JudgedRanking:
    """A ranking whose features are all equal, and those of the question alone if it is a follow-up."""
    features = dict.fromkeys((*WORD_FEATURES, *VECTOR_FEATURES), strength)
    return JudgedRanking(RANKED, features if own is None else {**features, "own_coverage": own}, own is not None)


def questions(count: int, *, answered_share: float, seed: int = 0) -> list[LabelledRanking]:
    """Rankings whose strength indicates, with noise, whether they answer."""
    rng = random.Random(seed)
    made = []
    for n in range(count):
        answered = n < answered_share * count
        made.append(LabelledRanking(judged(rng.gauss(0.7 if answered else 0.4, 0.15)), answered, answered))
    return made


@pytest.mark.parametrize("share", [0.25, 0.5, 0.85])
def test_a_score_is_the_share_of_questions_that_are_answered(share: float) -> None:
    scale = fit_scale(questions(400, answered_share=share))
    fresh = questions(4000, answered_share=share, seed=1)
    scores = [scale.score(one.judged) for one in fresh]
    assert sum(scores) / len(scores) == pytest.approx(share, abs=0.04)
    assert calibration_error(scores, [one.answered for one in fresh]) < 0.05
    sure = [one.answered for one, score in zip(fresh, scores, strict=True) if 0.6 < score < 0.8]
    assert sum(sure) / len(sure) == pytest.approx(0.7, abs=0.12)


def test_figures_come_from_cross_validation() -> None:
    scale = fit_scale(questions(400, answered_share=0.7))
    assert (scale.questions, scale.answered_share) == (400, 0.7)
    assert scale.brier is not None
    assert scale.calibration_error is not None
    assert 0.02 < scale.brier < 0.21
    assert 0.0 < scale.calibration_error < 0.1
    few = fit_scale([*questions(12, answered_share=0.75)])
    assert (few.brier, few.calibration_error) == (None, None)


def test_few_answered_questions_are_refused_and_most_unanswerable_ones_are() -> None:
    asked = questions(400, answered_share=0.7)
    scale = fit_scale(asked)
    assert scale.wrong_refusals <= 0.05
    assert scale.right_refusals is not None
    assert scale.right_refusals > 0.4
    refused = [not scale.enough(one.judged) for one in asked if not one.answerable]
    assert sum(refused) / len(refused) == scale.right_refusals


def test_a_missed_answer_is_neither_answered_nor_a_right_refusal() -> None:
    missed = [one._replace(answerable=True) for one in questions(200, answered_share=0.5)]
    scale = fit_scale(missed)
    assert scale.answered_share == 0.5
    assert scale.right_refusals is None


def test_one_class_of_questions_is_not_enough() -> None:
    with pytest.raises(ValueError, match="both answered and other"):
        fit_scale(questions(20, answered_share=1.0))


def test_calibration_error_is_the_gap_per_bin() -> None:
    assert calibration_error([0.25, 0.25, 0.25, 0.25], [True, False, False, False]) == 0
    assert calibration_error([1.0, 1.0], [True, False]) == 0.5
    # Two bins, each off by 0.1, in opposite directions.
    assert calibration_error([0.1] * 5 + [0.9] * 5, [True, *[False] * 4, *[True] * 5]) == pytest.approx(0.1)
    for scores, labels in (([], []), ([0.5], [True, False])):
        with pytest.raises(ValueError, match="expected as many"):
            calibration_error(scores, labels)


def test_words_alone_need_no_vectors() -> None:
    asked = questions(200, answered_share=0.6)
    scale = fit_scale(asked, vectors=False)
    assert scale.model.features == WORD_FEATURES
    assert not scale.reads_vectors
    assert fit_scale(asked).reads_vectors
    assert scale.score(judged(0.8)) > 0.5 > scale.score(judged(0.3))


def test_a_follow_up_has_to_pass_by_itself_too() -> None:
    follow_up = LogisticModel(("own_coverage",), (10.0,), -5.0, 0.5)
    scale = fit_scale(questions(200, answered_share=0.6), follow_up=follow_up)
    assert scale.enough(judged(0.9))
    assert scale.enough(judged(0.9, own=0.8))
    assert not scale.enough(judged(0.9, own=0.2))
    assert scale.score(judged(0.9, own=0.2)) == follow_up.score(judged(0.9, own=0.2)) < 0.5
    # The evidence of the joined query has to suffice as well.
    assert not scale.enough(judged(0.1, own=0.8))
    assert replace(scale, follow_up=None).enough(judged(0.9, own=0.2))
    # A threshold of 0 refuses nothing, and of 1 everything.
    assert scale.with_threshold(0.0).enough(judged(0.1, own=0.2))
    assert not scale.with_threshold(1.0).enough(judged(0.9, own=0.8))


def test_no_passages_are_no_evidence() -> None:
    scale = EvidenceScale(LogisticModel(("coverage",), (0.0,), 60.0, 0.0))
    assert scale.score(judged(0.1)) > 0.99
    nothing = JudgedRanking([], {})
    assert scale.score(nothing) == 0.0
    assert not scale.enough(nothing)
    assert not scale.with_threshold(1.1).enough(judged(0.9))
