"""A minimum number of steps: with few examples it makes more epochs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_task import DEV, EXAMPLES, configured, run, same_bits

from soft_prompt import Backbone, PrefixStore, SoftPrompt, TrainStep, train

# Left out of `make check`.
pytestmark = pytest.mark.heavy


def test_a_run_makes_its_minimum_of_steps(tmp_path: Path, tiny_backbone: Backbone, start: SoftPrompt) -> None:
    # Five examples in batches of two are three steps per epoch. No patience, and a rate that makes dev worse.
    config = configured(epochs=1, min_steps=50, patience=1, learning_rate=1e-9)
    result = run(tiny_backbone, start, config, folder=tmp_path)
    assert len(result.losses) == 51
    assert [score.epoch for score in result.scores] == [0, 3, 6, 9, 12, 15, 17]


def test_a_longer_run_resumes_with_the_same_bits(tmp_path: Path, tiny_backbone: Backbone, start: SoftPrompt) -> None:
    config = configured(epochs=1, min_steps=30, checkpoint_steps=4)
    whole = run(tiny_backbone, start, config)
    with pytest.raises(KeyboardInterrupt):
        run(tiny_backbone, start, config, folder=tmp_path, kill_at=25)
    resumed = run(tiny_backbone, start, config, folder=tmp_path)
    assert resumed.resumed
    assert same_bits(resumed, whole)
    assert [score.train_loss for score in resumed.scores] == [score.train_loss for score in whole.scores]


def test_the_log_of_a_longer_run_is_complete_after_a_stop(
    tmp_path: Path, tiny_backbone: Backbone, start: SoftPrompt
) -> None:
    config, log = configured(epochs=1, min_steps=30, checkpoint_steps=4), tmp_path / "log.jsonl"

    def stop(step: TrainStep) -> None:
        if step.phase == "train" and step.done == 14:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(PrefixStore(tiny_backbone), start, EXAMPLES, DEV, config, folder=tmp_path, log=log, on_step=stop)
    result = train(PrefixStore(tiny_backbone), start, EXAMPLES, DEV, config, folder=tmp_path, log=log)
    assert result.resumed
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert [line["step"] for line in lines if "step" in line] == list(range(1, 31))
    assert [line["epoch"] for line in lines if "step" not in line] == [score.epoch for score in result.scores]
