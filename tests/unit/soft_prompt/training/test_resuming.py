"""A killed run resumes and ends with the same bits, and resumes from no checkpoint but its own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save
from tiny_task import CONFIG, DEV, EXAMPLES, Killed, configured, run, same_bits, task

from soft_prompt import Backbone, SoftPrompt, TrainingError, TrainResult, TrainStep
from soft_prompt.training.checkpoint import FILE

pytestmark = pytest.mark.heavy


def test_writing_checkpoints_does_not_change_the_result(
    tmp_path: Path, tiny_backbone: Backbone, start: SoftPrompt, undisturbed: TrainResult
) -> None:
    assert same_bits(run(tiny_backbone, start, folder=tmp_path / "run"), undisturbed)
    # A finished run leaves no checkpoint behind.
    assert list((tmp_path / "run").iterdir()) == []


def test_a_run_killed_anywhere_ends_with_the_same_bits(
    tmp_path: Path,
    tiny_backbone: Backbone,
    start: SoftPrompt,
    undisturbed: TrainResult,
    steps: list[TrainStep],
    full: bool,
) -> None:
    calls = range(1, len(steps) + 1)
    # Kills before the first checkpoint start again; all later ones continue.
    first = next(n for n, step in enumerate(steps) if step.phase == "train" and step.done == CONFIG.checkpoint_steps)
    for kill_at in calls if full else (calls[0], first + 2, calls[len(calls) // 2], calls[-1]):
        folder = tmp_path / str(kill_at)
        with pytest.raises(Killed):
            run(tiny_backbone, start, folder=folder, kill_at=kill_at)
        result = run(tiny_backbone, start, folder=folder)
        assert same_bits(result, undisturbed), f"killed at call {kill_at}: {steps[kill_at - 1]}"
        assert result.resumed == (kill_at > first + 1)


def test_a_run_killed_again_and_again_ends_with_the_same_bits(
    tmp_path: Path, tiny_backbone: Backbone, start: SoftPrompt, undisturbed: TrainResult, steps: list[TrainStep]
) -> None:
    prefixes = sum(step.phase == "prefixes" for step in steps)
    kills = 0
    while True:
        # Just far enough to reach the next checkpoint.
        try:
            result = run(tiny_backbone, start, folder=tmp_path, kill_at=prefixes + 4)
        except Killed:
            kills += 1
            assert kills < len(steps)
        else:
            break
    assert kills >= 3
    assert same_bits(result, undisturbed)


def test_a_checkpoint_holds_the_best_vectors_of_an_earlier_epoch(
    tmp_path: Path, tiny_backbone: Backbone, start: SoftPrompt, steps: list[TrainStep]
) -> None:
    # At this rate the first epoch is the best: its vectors are lost unless the checkpoint holds them.
    config = configured(learning_rate=0.3)
    whole = run(tiny_backbone, start, config)
    assert whole.best_epoch == 1
    with pytest.raises(Killed):
        run(tiny_backbone, start, config, folder=tmp_path, kill_at=len(steps) - 1)
    result = run(tiny_backbone, start, config, folder=tmp_path)
    assert result.resumed
    assert same_bits(result, whole)


def test_the_interval_of_checkpoints_is_no_part_of_the_run(
    tmp_path: Path, tiny_backbone: Backbone, start: SoftPrompt, undisturbed: TrainResult, steps: list[TrainStep]
) -> None:
    with pytest.raises(Killed):
        run(tiny_backbone, start, folder=tmp_path, kill_at=len(steps))
    result = run(tiny_backbone, start, configured(checkpoint_steps=5), folder=tmp_path)
    assert result.resumed
    assert same_bits(result, undisturbed)


@pytest.fixture(scope="module")
def late_checkpoint(
    tmp_path_factory: pytest.TempPathFactory, tiny_backbone: Backbone, start: SoftPrompt, steps: list[TrainStep]
) -> bytes:
    """The checkpoint of a run that was killed shortly before its end."""
    folder = tmp_path_factory.mktemp("late")
    with pytest.raises(Killed):
        run(tiny_backbone, start, folder=folder, kill_at=len(steps) - 1)
    # There is no incomplete file beside it.
    assert [path.name for path in folder.iterdir()] == [FILE]
    return (folder / FILE).read_bytes()


@pytest.mark.parametrize("change", ["rate", "seed", "batch", "epochs", "answer", "question", "dev", "split", "start"])
def test_a_run_does_not_resume_from_the_checkpoint_of_another(
    tmp_path: Path, tiny_backbone: Backbone, start: SoftPrompt, late_checkpoint: bytes, change: str
) -> None:
    config, examples, dev, vectors = CONFIG, EXAMPLES, DEV, start
    if change == "rate":
        config = configured(learning_rate=0.01)
    elif change == "seed":
        config = configured(seed=1)
    elif change == "batch":
        config = configured(batch_size=3)
    elif change == "epochs":
        config = configured(epochs=4)
    elif change == "answer":
        examples = [*EXAMPLES[:-1], (EXAMPLES[-1][0], "A clinic.")]
    elif change == "question":
        examples = [*EXAMPLES[:-1], task("", "Who?", "A bank.")]
    elif change == "dev":
        dev = DEV[:1]
    elif change == "split":
        # The same questions in the same order, one of them moved from train to dev.
        examples, dev = EXAMPLES[:-1], [EXAMPLES[-1], *DEV]
    elif change == "start":
        vectors = replace(start, vectors=start.vectors + 0.01)
    (tmp_path / FILE).write_bytes(late_checkpoint)
    result = run(tiny_backbone, vectors, config, examples=examples, dev=dev, folder=tmp_path)
    assert not result.resumed


def test_a_run_does_not_resume_on_another_backbone(
    tmp_path: Path, tiny_backbone: Backbone, start: SoftPrompt, late_checkpoint: bytes
) -> None:
    (tmp_path / FILE).write_bytes(late_checkpoint)
    other = Backbone("other", "1" * 64, tiny_backbone.model, tiny_backbone.tokenizer)
    assert not run(other, start, folder=tmp_path).resumed


def flipped(at: float) -> Callable[[bytes], bytes]:
    def flip(data: bytes) -> bytes:
        place = int(at * (len(data) - 1))
        return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]

    return flip


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: b"not a checkpoint",
        lambda data: data[:7],
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: bytes(len(data)),
        flipped(0.0),
        *[flipped(n / 7) for n in range(1, 7)],
        flipped(1.0),
    ],
)
def test_a_damaged_checkpoint_counts_as_none(
    tmp_path: Path,
    tiny_backbone: Backbone,
    start: SoftPrompt,
    undisturbed: TrainResult,
    late_checkpoint: bytes,
    damage: Callable[[bytes], bytes],
) -> None:
    (tmp_path / FILE).write_bytes(damage(late_checkpoint))
    result = run(tiny_backbone, start, folder=tmp_path)
    assert not result.resumed
    assert same_bits(result, undisturbed)


def test_an_undamaged_checkpoint_resumes(
    tmp_path: Path, tiny_backbone: Backbone, start: SoftPrompt, late_checkpoint: bytes
) -> None:
    # The counterpart of the test above.
    (tmp_path / FILE).write_bytes(late_checkpoint)
    assert run(tiny_backbone, start, folder=tmp_path).resumed


def test_the_checkpoint_of_an_earlier_version_is_refused_and_stays(
    tmp_path: Path, tiny_backbone: Backbone, start: SoftPrompt
) -> None:
    # Earlier versions wrote no format, and their digest covered the state alone.
    state, vectors = '{"epoch": 1, "cursor": 2}', torch.ones(2)
    digest = hashlib.sha256(state.encode() + b"now.vectors" + vectors.numpy().tobytes()).hexdigest()
    data = save({"now.vectors": vectors}, {"fingerprint": "f", "state": state, "digest": digest})
    (tmp_path / FILE).write_bytes(data)
    with pytest.raises(TrainingError, match="an unfinished run of another version") as caught:
        run(tiny_backbone, start, folder=tmp_path)
    assert caught.value.next_step.startswith(f"delete {tmp_path / FILE}")
    assert (tmp_path / FILE).read_bytes() == data
