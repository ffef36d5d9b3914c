"""What `softgraft train` prints about a finished run."""

from __future__ import annotations

from dataclasses import replace

from softgraft.commands.train import report_lines
from softgraft.training.task import TrainReport

REPORT = TrainReport(
    domain="bank", kept=True, kind="kv", length=32, adapter="lora", adapter_rank=4, layers=None, examples=200,
    withheld=0, dev_questions=40, dev_f1=0.4, dev_f1_text_twin=0.3, dev_loss=1.5, dev_loss_text_twin=1.6, best_epoch=3,
    epochs=4, seconds=60.0, resumed=False, micro_batch=8, processes=1, folder="build", metric="token F1",
    dev_score=0.4, dev_score_text_twin=0.3, steps=60,
)  # fmt: skip


def test_the_form_of_the_answers_is_named_with_what_it_beat() -> None:
    scores = {"quote": 0.96, "generate": 0.62}
    *_, kept, form = report_lines(
        replace(REPORT, form="quote", form_metric="accuracy", form_scores=scores), "questions"
    )
    assert kept == "kept in build"
    assert form == (
        "answers: quote; the soft prompt is not used for answers "
        "(accuracy of the forms on dev: quote 0.960, generate 0.620)"
    )


def test_without_a_choice_nothing_is_said_of_forms() -> None:
    assert not any(line.startswith("answers:") for line in report_lines(REPORT, "questions"))
