"""The decision to keep a soft prompt, and the advice after a run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evaluation import Estimate, Item
from evaluation.questions.closed_answers import ClosedAnswers
from softgraft.settings.domain_file import TrainSettings
from softgraft.training.advice import next_steps
from softgraft.training.decision import MajorityComparison, compare_on_dev, compare_with_majority
from softgraft.training.task import TrainReport

NOT_KEPT = TrainReport(
    domain="bank", kept=False, kind="kv", length=32, adapter="lora", adapter_rank=4, layers=None, examples=200,
    withheld=0, dev_questions=40, dev_f1=0.3, dev_f1_text_twin=0.4, dev_loss=1.5, dev_loss_text_twin=1.6, best_epoch=3,
    epochs=4, seconds=60.0, resumed=False, micro_batch=8, processes=1, folder="build", metric="token F1",
    dev_score=0.3, dev_score_text_twin=0.4, steps=60,
)  # fmt: skip


def advice(**changes: object) -> list[str]:
    report = replace(NOT_KEPT, **changes)  # type: ignore[arg-type]
    return next_steps(report, TrainSettings(), "bank", answers_questions=True)


def test_scores_are_compared_question_by_question() -> None:
    found = compare_on_dev([1.0, 0.5, 0.5, 0.0], [0.0, 0.5, 0.25, 1.0])
    assert (found.questions, found.better, found.equal, found.worse) == (4, 2, 1, 1)
    assert found.difference is not None
    assert found.difference.mean == pytest.approx(0.0625)
    assert found.by_chance
    assert not compare_on_dev([1.0] * 9, [0.0] * 9).by_chance
    nothing = compare_on_dev([], [])
    assert (nothing.questions, nothing.difference, nothing.by_chance) == (0, None, True)


def test_the_majority_is_compared_on_answerable_questions() -> None:
    items = [Item(id=str(n), question="?", answers=(answer,)) for n, answer in enumerate(("yes", "no", "yes", "no"))]
    items.append(Item(id="x", question="?", answerable=False))
    closed = ClosedAnswers(("yes", "no"), (12, 9))
    found = compare_with_majority(closed, items, [1.0, 0.0, 0.0, 1.0, 0.0])
    assert found == MajorityComparison("yes", 4, 0.5, 0.5)
    assert not found.beaten
    assert compare_with_majority(None, items, [1.0] * 5) is None
    assert compare_with_majority(closed, items[4:], [0.0]) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"best_epoch": 4}, "--min-steps 120"),
        ({"best_epoch": 1}, "softgraft train bank --learning-rate 0.005"),
        ({"examples": 30}, "write more to train.jsonl: 30"),
        ({"dev_questions": 7}, "write more to dev.jsonl: with 7"),
        ({"train_withheld": {"score below the threshold, passage with the answer found": 60}}, "evidence_threshold"),
        ({"without_document": 100}, "give doc_id and quote: 100"),
        (
            {"dev_withheld": {"score below the threshold, passage with the answer not found": 20}},
            "the answers of 20 dev questions were not retrieved",
        ),
        ({"majority": MajorityComparison("yes", 20, 0.5, 0.5)}, "does not beat the constant answer 'yes'"),
        ({}, "softgraft train bank --search"),
    ],
)
def test_the_advice_suits_the_run(changes: dict[str, object], words: str) -> None:
    [step] = advice(**changes)
    assert words in step


def test_the_most_promising_comes_first() -> None:
    steps = advice(best_epoch=4, examples=30, dev_questions=7, without_document=30)
    assert [word for step in steps for word in ("min-steps", "train.jsonl", "dev.jsonl", "doc_id") if word in step] == [
        "min-steps", "train.jsonl", "dev.jsonl", "doc_id",
    ]  # fmt: skip
    assert advice(kept=True, best_epoch=4)[0] == "compare the systems on test: softgraft eval bank"


def test_an_interval_above_zero_is_no_chance() -> None:
    found = compare_on_dev([0.5, 0.6, 0.7], [0.1, 0.2, 0.2])
    assert isinstance(found.difference, Estimate)
    assert found.difference.low > 0
