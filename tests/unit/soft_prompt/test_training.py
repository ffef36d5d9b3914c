"""Training: it learns, it touches nothing else, it repeats itself, and a killed run ends as if it had never stopped."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaForCausalLM

from prompts import Message, PassageSegment, RenderedPrompt, SoftSegment, TextSegment
from soft_prompt import (
    Backbone,
    ContextError,
    PrefixStore,
    SoftPrompt,
    TrainConfig,
    TrainingError,
    TrainResult,
    TrainStep,
    from_text_twin,
    save_loss_curve,
    train,
    weights_checksum,
)
from soft_prompt.checkpoint import FILE

Task = tuple[RenderedPrompt, str]
CONFIG = TrainConfig(epochs=3, batch_size=2, warmup_steps=2, checkpoint_steps=2, patience=9)


def task(passage: str, question: str, answer: str, slot: str = "domain") -> Task:
    system = (TextSegment("Help."), PassageSegment(passage, "p"), SoftSegment(slot))
    return RenderedPrompt((Message("system", system), Message("user", (TextSegment(question),)))), answer


EXAMPLES = [
    task("Fees: 12.", "What is the fee?", "12."),
    task("Fees: 12.", "How much?", "It is 12."),
    task("Open at nine.", "When?", "At nine."),
    task("Open at nine, but on Sundays at ten.", "On Sunday?", "Ten."),
    task("", "Who are you?", "A bank."),
]
DEV = [task("Close at five.", "Until when?", "Five."), task("Fees: 7.", "What is the fee?", "7.")]


class Killed(KeyboardInterrupt):
    """What a terminal sends, told apart from a real one."""


@pytest.fixture(scope="module")
def start(tiny_backbone: Backbone) -> SoftPrompt:
    return from_text_twin(tiny_backbone, "domain", "Be brief.")


def run(
    backbone: Backbone,
    start: SoftPrompt,
    config: TrainConfig = CONFIG,
    *,
    examples: Sequence[Task] = EXAMPLES,
    dev: Sequence[Task] = DEV,
    folder: Path | None = None,
    kill_at: int | None = None,
) -> TrainResult:
    """One run with a store of its own, killed at a call of `on_step`."""
    calls = 0

    def on_step(_: TrainStep) -> None:
        nonlocal calls
        calls += 1
        if calls == kill_at:
            raise Killed

    return train(PrefixStore(backbone), start, examples, dev, config, folder=folder, on_step=on_step)


def same_bits(one: TrainResult, other: TrainResult) -> bool:
    return (
        torch.equal(one.soft_prompt.vectors, other.soft_prompt.vectors)
        and one.losses == other.losses
        and [(s.epoch, s.train_loss, s.dev_loss) for s in one.scores]
        == [(s.epoch, s.train_loss, s.dev_loss) for s in other.scores]
        and (one.best_epoch, one.start_loss, one.dev_loss) == (other.best_epoch, other.start_loss, other.dev_loss)
    )


@pytest.fixture(scope="module")
def steps(tiny_backbone: Backbone, start: SoftPrompt) -> list[TrainStep]:
    """Every call of `on_step` in a run that nobody stops."""
    seen: list[TrainStep] = []
    train(PrefixStore(tiny_backbone), start, EXAMPLES, DEV, CONFIG, on_step=seen.append)
    return seen


@pytest.fixture(scope="module")
def undisturbed(tiny_backbone: Backbone, start: SoftPrompt) -> TrainResult:
    return run(tiny_backbone, start)


def test_a_small_task_is_learned(tiny_backbone: Backbone) -> None:
    start = from_text_twin(tiny_backbone, "domain", "Be brief.", length=16)
    tasks = [task("Fees: 12.", question, "12.") for question in ("How much?", "The fee?", "What is it?")]
    config = TrainConfig(epochs=40, batch_size=3, learning_rate=0.3, warmup_steps=5, patience=40)
    result = run(tiny_backbone, start, config, examples=tasks, dev=tasks)
    assert result.start_loss > 2
    assert result.dev_loss < 0.25 * result.start_loss
    assert result.best_epoch > 10
    assert result.losses[-1] < result.losses[0]
    assert not torch.equal(result.soft_prompt.vectors, start.vectors)


def test_training_changes_neither_the_backbone_nor_the_start(tiny_backbone: Backbone, start: SoftPrompt) -> None:
    weights, vectors = weights_checksum(tiny_backbone), start.vectors.clone()
    result = run(tiny_backbone, start)
    assert weights_checksum(tiny_backbone) == weights
    assert torch.equal(start.vectors, vectors)
    assert not start.vectors.requires_grad
    assert all(parameter.grad is None for parameter in tiny_backbone.model.parameters())
    assert not tiny_backbone.model.training
    assert not result.soft_prompt.vectors.requires_grad


def test_the_kept_vectors_are_the_best_on_dev(tiny_backbone: Backbone, undisturbed: TrainResult) -> None:
    losses = [score.dev_loss for score in undisturbed.scores]
    assert undisturbed.dev_loss == min(losses) == losses[undisturbed.best_epoch]
    # Measured again from the vectors themselves: a run of no learning starts where the first one ended.
    again = run(tiny_backbone, undisturbed.soft_prompt, replace(CONFIG, epochs=1, learning_rate=0.0))
    assert again.start_loss == pytest.approx(undisturbed.dev_loss, abs=1e-6)
    assert torch.equal(again.soft_prompt.vectors, undisturbed.soft_prompt.vectors)


def test_a_run_that_gets_worse_keeps_its_start_and_stops_early(tiny_backbone: Backbone, start: SoftPrompt) -> None:
    result = run(tiny_backbone, start, replace(CONFIG, epochs=9, learning_rate=1e4, patience=2))
    assert result.best_epoch == 0
    assert torch.equal(result.soft_prompt.vectors, start.vectors)
    assert len(result.scores) == 3


def test_the_result_is_what_the_run_says(undisturbed: TrainResult, start: SoftPrompt) -> None:
    assert len(undisturbed.losses) == 9
    assert [score.epoch for score in undisturbed.scores] == [0, 1, 2, 3]
    assert undisturbed.scores[0].train_loss is None
    assert undisturbed.start_loss == undisturbed.scores[0].dev_loss
    assert undisturbed.soft_prompt.vectors.shape == start.vectors.shape
    assert undisturbed.soft_prompt.vectors.dtype == torch.float32
    assert undisturbed.soft_prompt.text_twin == start.text_twin
    assert not undisturbed.resumed


def test_progress_is_told(steps: list[TrainStep]) -> None:
    by_phase = {phase: [step for step in steps if step.phase == phase] for phase in ("prefixes", "train", "dev")}
    # Two examples share a passage, and one has none.
    assert [(step.done, step.total) for step in by_phase["prefixes"]] == [(n, 6) for n in range(1, 7)]
    assert [(step.done, step.total) for step in by_phase["train"]] == [(n, 9) for n in range(1, 10)]
    assert [step.epoch for step in by_phase["train"]] == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert [(step.done, step.total) for step in by_phase["dev"]] == [(2, 2)] * 4
    assert all(step.loss is not None and (step.examples_per_second or 0) > 0 for step in by_phase["train"])


def test_the_same_seed_gives_the_same_bits(
    tiny_backbone: Backbone, start: SoftPrompt, undisturbed: TrainResult
) -> None:
    assert same_bits(run(tiny_backbone, start), undisturbed)


def test_another_seed_gives_other_bits(tiny_backbone: Backbone, start: SoftPrompt, undisturbed: TrainResult) -> None:
    other = run(tiny_backbone, start, replace(CONFIG, seed=1))
    assert not torch.equal(other.soft_prompt.vectors, undisturbed.soft_prompt.vectors)


def test_the_global_generator_and_the_budget_of_the_store_do_not_matter(
    tiny_backbone: Backbone, start: SoftPrompt, undisturbed: TrainResult
) -> None:
    torch.manual_seed(123)
    store = PrefixStore(tiny_backbone, memory_bytes=0)
    try:
        result = train(store, start, EXAMPLES, DEV, CONFIG)
    finally:
        store.close()
    assert same_bits(result, undisturbed)


def test_writing_checkpoints_does_not_change_the_result(
    tmp_path: Path, tiny_backbone: Backbone, start: SoftPrompt, undisturbed: TrainResult
) -> None:
    assert same_bits(run(tiny_backbone, start, folder=tmp_path / "run"), undisturbed)
    # A finished run leaves no state behind that a later one could take up.
    assert list((tmp_path / "run").iterdir()) == []


def test_a_run_killed_anywhere_ends_with_the_same_bits(
    tmp_path: Path, tiny_backbone: Backbone, start: SoftPrompt, undisturbed: TrainResult, steps: list[TrainStep]
) -> None:
    resumed = 0
    for kill_at in range(1, len(steps) + 1):
        folder = tmp_path / str(kill_at)
        with pytest.raises(Killed):
            run(tiny_backbone, start, folder=folder, kill_at=kill_at)
        result = run(tiny_backbone, start, folder=folder)
        assert same_bits(result, undisturbed), f"killed at call {kill_at}: {steps[kill_at - 1]}"
        resumed += result.resumed
    # Kills before the first checkpoint start again; all later ones go on.
    first = next(n for n, step in enumerate(steps) if step.phase == "train" and step.done == CONFIG.checkpoint_steps)
    assert resumed == len(steps) - first - 1


def test_a_run_killed_again_and_again_ends_with_the_same_bits(
    tmp_path: Path, tiny_backbone: Backbone, start: SoftPrompt, undisturbed: TrainResult, steps: list[TrainStep]
) -> None:
    prefixes = sum(step.phase == "prefixes" for step in steps)
    kills = 0
    while True:
        # Far enough to reach the next checkpoint, and no further.
        try:
            result = run(tiny_backbone, start, folder=tmp_path, kill_at=prefixes + 4)
        except Killed:
            kills += 1
            assert kills < len(steps)
        else:
            break
    assert kills >= 3
    assert same_bits(result, undisturbed)


def test_how_often_state_is_written_is_no_part_of_the_run(
    tmp_path: Path, tiny_backbone: Backbone, start: SoftPrompt, undisturbed: TrainResult, steps: list[TrainStep]
) -> None:
    with pytest.raises(Killed):
        run(tiny_backbone, start, folder=tmp_path, kill_at=len(steps))
    result = run(tiny_backbone, start, replace(CONFIG, checkpoint_steps=5), folder=tmp_path)
    assert result.resumed
    assert same_bits(result, undisturbed)


def killed_late(backbone: Backbone, start: SoftPrompt, folder: Path, steps: list[TrainStep]) -> None:
    with pytest.raises(Killed):
        run(backbone, start, folder=folder, kill_at=len(steps) - 1)
    assert (folder / FILE).is_file()


@pytest.mark.parametrize("change", ["rate", "seed", "batch", "epochs", "answer", "question", "dev", "split", "start"])
def test_a_checkpoint_of_another_run_is_not_taken_up(
    tmp_path: Path, tiny_backbone: Backbone, start: SoftPrompt, steps: list[TrainStep], change: str
) -> None:
    config, examples, dev, vectors = CONFIG, EXAMPLES, DEV, start
    if change == "rate":
        config = replace(CONFIG, learning_rate=0.01)
    elif change == "seed":
        config = replace(CONFIG, seed=1)
    elif change == "batch":
        config = replace(CONFIG, batch_size=3)
    elif change == "epochs":
        config = replace(CONFIG, epochs=4)
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
    killed_late(tiny_backbone, start, tmp_path, steps)
    result = run(tiny_backbone, vectors, config, examples=examples, dev=dev, folder=tmp_path)
    assert not result.resumed
    assert same_bits(result, run(tiny_backbone, vectors, config, examples=examples, dev=dev))


def test_a_checkpoint_of_another_backbone_is_not_taken_up(
    tmp_path: Path, tiny_backbone: Backbone, start: SoftPrompt, steps: list[TrainStep]
) -> None:
    killed_late(tiny_backbone, start, tmp_path, steps)
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
        *[flipped(n / 16) for n in range(1, 16)],
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


@pytest.fixture(scope="module")
def late_checkpoint(
    tmp_path_factory: pytest.TempPathFactory, tiny_backbone: Backbone, start: SoftPrompt, steps: list[TrainStep]
) -> bytes:
    folder = tmp_path_factory.mktemp("late")
    killed_late(tiny_backbone, start, folder, steps)
    return (folder / FILE).read_bytes()


def test_an_undamaged_checkpoint_is_taken_up(
    tmp_path: Path, tiny_backbone: Backbone, start: SoftPrompt, late_checkpoint: bytes
) -> None:
    # The counterpart of the test above: what it writes would be taken up if nothing were damaged.
    (tmp_path / FILE).write_bytes(late_checkpoint)
    assert run(tiny_backbone, start, folder=tmp_path).resumed


def test_a_checkpoint_is_written_whole_or_not_at_all(
    tmp_path: Path, tiny_backbone: Backbone, start: SoftPrompt, steps: list[TrainStep]
) -> None:
    killed_late(tiny_backbone, start, tmp_path, steps)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize(
    ("examples", "dev", "words"),
    [
        ([], DEV, "0 train examples"),
        (EXAMPLES, [], "0 dev examples"),
        ([*EXAMPLES, task("x", "Why?", "")], DEV, "6 train examples, 1 with an empty answer"),
        (EXAMPLES, [*DEV, task("x", "Why?", " \n")], "3 dev examples, 1 with an empty answer"),
        ([task("x", "Why?", "So.", slot="style")], DEV, "a prompt without the soft slot 'domain'"),
        (EXAMPLES, [task("x", "Why?", "So.", slot="style")], "a prompt without the soft slot 'domain'"),
    ],
)
def test_what_cannot_be_trained_on_is_refused(
    tiny_backbone: Backbone, start: SoftPrompt, examples: list[Task], dev: list[Task], words: str
) -> None:
    with pytest.raises(TrainingError, match=words):
        run(tiny_backbone, start, examples=examples, dev=dev)


@pytest.mark.parametrize("patience", [1, 2])
def test_a_loss_that_is_no_number_stops_the_run(tiny_backbone: Backbone, start: SoftPrompt, patience: int) -> None:
    broken = replace(start, vectors=start.vectors * math.nan)
    with pytest.raises(TrainingError, match="nan"):
        run(tiny_backbone, broken, replace(CONFIG, patience=patience))


class OverflowingLlama(LlamaForCausalLM):  # type: ignore[misc]
    """A tiny Llama whose logits overflow from the fifth training step on, as half precision does."""

    calls = 0

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        output = super().forward(*args, **kwargs)
        self.calls += torch.is_grad_enabled()
        if self.calls >= 5:
            output.logits = output.logits * math.inf
        return output


def test_a_run_that_diverges_names_a_lower_rate(tmp_path: Path, tiny_backbone: Backbone, start: SoftPrompt) -> None:
    model = OverflowingLlama(tiny_backbone.model.config)
    model.load_state_dict(tiny_backbone.model.state_dict())
    backbone = Backbone("tiny", "0" * 64, model, tiny_backbone.tokenizer)
    with pytest.raises(TrainingError, match="at step 5: training has diverged") as caught:
        run(backbone, start, folder=tmp_path)
    assert "--learning-rate 0.005" in caught.value.next_step
    # What was learned before the overflow is whole: the same run can go on from there.
    assert same_bits(run(tiny_backbone, start, folder=tmp_path), run(tiny_backbone, start))


def test_an_example_beyond_the_context_is_refused(tiny_backbone: Backbone, start: SoftPrompt) -> None:
    long = task("x" * tiny_backbone.max_tokens, "Why?", "So.")
    with pytest.raises(ContextError, match="at most 512 tokens"):
        run(tiny_backbone, start, examples=[*EXAMPLES, long])


def test_the_loss_curve_is_a_picture(tmp_path: Path, undisturbed: TrainResult) -> None:
    path = tmp_path / "loss.png"
    save_loss_curve(undisturbed, path, "bank")
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
