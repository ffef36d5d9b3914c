"""The log of a run, and the end of a run whose loss rises."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from tiny_task import CONFIG, DEV, EXAMPLES, Killed, configured, killer

from soft_prompt import Backbone, DivergedError, PrefixStore, SoftPrompt, TrainResult, train
from soft_prompt.training.training import DIVERGENCE_WINDOW, loss_above_start

pytestmark = pytest.mark.heavy


def logged(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def run(backbone: Backbone, start: SoftPrompt, folder: Path, kill_at: int | None = None, **changes: Any) -> TrainResult:
    config = configured(**changes)
    log, state = folder / "log.jsonl", folder / "state"
    return train(PrefixStore(backbone), start, EXAMPLES, DEV, config, folder=state, log=log, on_step=killer(kill_at))


def without_times(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in line.items() if k not in ("seconds", "examples_per_second")} for line in lines]


def test_every_step_and_epoch_has_a_line(tmp_path: Path, tiny_backbone: Backbone, start: SoftPrompt) -> None:
    result = run(tiny_backbone, start, tmp_path)
    lines = logged(tmp_path / "log.jsonl")
    steps = [line for line in lines if "step" in line]
    assert [line["step"] for line in steps] == list(range(1, 10))
    assert [line["epoch"] for line in steps] == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert tuple(line["loss"] for line in steps) == result.losses
    assert steps[0]["learning_rate"] == pytest.approx(CONFIG.learning_rate / 2)
    assert all(line["gradient_norm"] > 0 and line["examples_per_second"] > 0 for line in steps)
    assert [line["seconds"] for line in lines] == sorted(line["seconds"] for line in lines)
    epochs = [line for line in lines if "step" not in line]
    assert [(e["epoch"], e["train_loss"], e["dev_loss"]) for e in epochs] == [
        (score.epoch, score.train_loss, score.dev_loss) for score in result.scores
    ]
    # The start is measured before the first step, an epoch after its last.
    assert ["step" in line for line in lines] == [False, *[True, True, True, False] * 3]


@pytest.mark.parametrize("kill_at", range(6, 24))
def test_a_resumed_run_repeats_no_line(
    tmp_path: Path, tiny_backbone: Backbone, start: SoftPrompt, kill_at: int
) -> None:
    run(tiny_backbone, start, tmp_path / "whole")
    expected = without_times(logged(tmp_path / "whole" / "log.jsonl"))
    try:
        run(tiny_backbone, start, tmp_path, kill_at=kill_at)
    except Killed:
        with (tmp_path / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write('{"step": 1, "los')
        run(tiny_backbone, start, tmp_path)
    assert without_times(logged(tmp_path / "log.jsonl")) == expected


def test_another_run_starts_a_new_log(tmp_path: Path, tiny_backbone: Backbone, start: SoftPrompt) -> None:
    run(tiny_backbone, start, tmp_path)
    run(tiny_backbone, start, tmp_path, epochs=1)
    assert len(logged(tmp_path / "log.jsonl")) == 5


def test_a_run_that_stays_above_its_start_suggests_a_lower_rate(
    tmp_path: Path, tiny_backbone: Backbone, start: SoftPrompt
) -> None:
    # The start must be better than a random backbone, which is hardly worse than chance.
    learned = run(tiny_backbone, start, tmp_path, epochs=30, learning_rate=0.3, patience=30).soft_prompt
    changes = {"epochs": 20, "patience": 20, "learning_rate": 1e4, "checkpoint_steps": 1}
    with pytest.raises(DivergedError, match=r"a mean loss of .* at step 18: training has diverged") as caught:
        run(tiny_backbone, learned, tmp_path, **changes)
    assert "--learning-rate 2500" in caught.value.next_step
    assert len(logged(tmp_path / "log.jsonl")) == 17 + 1 + 5
    # The checkpoint holds the losses, so a resumed run does not need sixteen more steps to diverge.
    with pytest.raises(DivergedError, match="at step 18"):
        run(tiny_backbone, learned, tmp_path, **changes)


@pytest.mark.parametrize(
    ("losses", "dev_loss", "worse"),
    [
        ([2.0] * 4 + [2.3] * DIVERGENCE_WINDOW, 2.0, True),
        ([2.0] * 4 + [2.3] * (DIVERGENCE_WINDOW - 1), 2.0, False),
        ([2.0] * 4 + [2.1] * DIVERGENCE_WINDOW, 2.0, False),
        # Warm-up steps do not count, and a train set that is harder than dev is no divergence.
        ([2.0] * 2 + [99.0] * 2 + [1.9] * DIVERGENCE_WINDOW, 2.0, False),
        ([3.0] * 4 + [2.9] * DIVERGENCE_WINDOW, 2.0, False),
        ([2.0] * 99 + [1.0] * DIVERGENCE_WINDOW, 2.0, False),
        ([2.0] * 99 + [5.0] * DIVERGENCE_WINDOW, 2.0, True),
    ],
)
def test_when_the_loss_counts_as_above_the_start(losses: list[float], dev_loss: float, worse: bool) -> None:
    mean = loss_above_start(losses, dev_loss, 4)
    assert (mean is not None) == worse
    assert mean is None or math.isclose(mean, losses[-1])
