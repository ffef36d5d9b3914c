"""Scores of labels, summaries and translations against figures worked out by hand or by the libraries alone."""

from __future__ import annotations

import pytest

from evaluation.task_scores import reply_score, task_scores


def test_labels_by_hand() -> None:
    gold = ["a", "a", "a", "b", "c"]
    found = ["a", "a", "b", "b", "d"]
    scores = task_scores("classification", found, gold, "en")
    assert scores["accuracy"].mean == pytest.approx(3 / 5)
    # Recall: a 2/3, b 1, c 0; nobody should have said d.
    assert scores["macro recall"].mean == pytest.approx((2 / 3 + 1 + 0) / 3)
    # F1: a 4/5, b 2/3, c 0, and d 0, which was said.
    assert scores["macro F1"].mean == pytest.approx((4 / 5 + 2 / 3) / 4)
    for found_score in scores.values():
        assert 0 <= found_score.low < found_score.mean < found_score.high <= 1


def test_all_labels_right() -> None:
    scores = task_scores("classification", ["a", "b"], ["a", "b"], "en")
    assert {(s.mean, s.low, s.high) for s in scores.values()} == {(1.0, 1.0, 1.0)}


def test_summaries_by_hand() -> None:
    scores = task_scores("summarisation", ["The fees are low"], ["the fee is very low"], "en")
    # Stemmed, three of four and of five words... "fees" and "fee" are one word, "are" and "is" are not.
    assert scores["ROUGE-1"].mean == pytest.approx(2 * 3 / (4 + 5))
    assert scores["ROUGE-2"].mean == pytest.approx(2 * 1 / (3 + 4))
    assert scores["ROUGE-L"].mean == pytest.approx(2 * 3 / (4 + 5))


def test_chinese_summaries_are_cut_by_character() -> None:
    scores = task_scores("summarisation", ["费用很低。"], ["费用低"], "zh")
    assert scores["ROUGE-1"].mean == pytest.approx(2 * 3 / (4 + 3))
    assert scores["ROUGE-2"].mean == pytest.approx(2 * 1 / (3 + 2))
    assert task_scores("summarisation", ["天气"], ["费用低"], "zh")["ROUGE-L"].mean == 0


def test_translations_score_as_the_library_says() -> None:
    from sacrebleu import corpus_bleu, corpus_chrf

    found = ["The card is free of charge today", "It rains in the north of the land"]
    gold = ["The card is free today for all", "It rains in the north of this land"]
    scores = task_scores("translation", found, gold, "en")
    assert scores["BLEU"].mean == pytest.approx(corpus_bleu(found, [gold]).score)
    assert scores["chrF"].mean == pytest.approx(corpus_chrf(found, [gold]).score)
    for score in scores.values():
        assert 0 <= score.low < score.mean < score.high <= 100


def test_chinese_translations_are_cut_by_character() -> None:
    found, gold = ["这张卡今天是免费的"], ["这张卡今天免费"]
    # As one word each they would share nothing.
    assert task_scores("translation", found, gold, "en")["BLEU"].mean < 1
    assert task_scores("translation", found, gold, "zh")["BLEU"].mean > 40


@pytest.mark.parametrize(
    ("task", "right", "wrong", "best"),
    [("classification", "card fee", "card", 1.0), ("summarisation", "a low fee", "rain", 1.0),
     ("translation", "a low fee", "xyz", 100.0)],
)  # fmt: skip
def test_what_decides_on_dev(task: str, right: str, wrong: str, best: float) -> None:
    assert reply_score(task, right, right) == best  # type: ignore[arg-type]
    assert reply_score(task, wrong, right) == 0  # type: ignore[arg-type]


def test_nothing_to_score() -> None:
    for found, gold in (([], []), (["a"], ["a", "b"])):
        with pytest.raises(ValueError, match="replies for"):
            task_scores("classification", found, gold, "en")
