"""Training learns, changes nothing else, and is deterministic."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_task import CONFIG, DEV, EXAMPLES, Task, configured, run, same_bits, task
from transformers import LlamaForCausalLM

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

# Left out of `make check`.
pytestmark = pytest.mark.heavy


def test_a_small_task_is_learned(tiny_backbone: Backbone) -> None:
    start = from_text_twin(tiny_backbone, "domain", "Be brief.", length=16)
    tasks = [task("Fees: 12.", question, "12.") for question in ("How much?", "The fee?", "What is it?")]
    config = TrainConfig(epochs=40, min_steps=1, batch_size=3, learning_rate=0.3, warmup_steps=5, patience=40)
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


def test_the_best_vectors_on_dev_are_returned(tiny_backbone: Backbone, undisturbed: TrainResult) -> None:
    losses = [score.dev_loss for score in undisturbed.scores]
    assert undisturbed.dev_loss == min(losses) == losses[undisturbed.best_epoch]
    # Measured again: a run with a learning rate of 0 starts where the first one ended.
    again = run(tiny_backbone, undisturbed.soft_prompt, configured(epochs=1, learning_rate=0.0))
    assert again.start_loss == pytest.approx(undisturbed.dev_loss, abs=1e-6)
    assert torch.equal(again.soft_prompt.vectors, undisturbed.soft_prompt.vectors)


def test_a_run_that_gets_worse_keeps_its_start_and_stops_early(tiny_backbone: Backbone, start: SoftPrompt) -> None:
    result = run(tiny_backbone, start, configured(epochs=9, learning_rate=1e4, patience=2))
    assert result.best_epoch == 0
    assert torch.equal(result.soft_prompt.vectors, start.vectors)
    assert len(result.scores) == 3


def test_the_result_describes_the_run(undisturbed: TrainResult, start: SoftPrompt) -> None:
    assert len(undisturbed.losses) == 9
    assert [score.epoch for score in undisturbed.scores] == [0, 1, 2, 3]
    assert undisturbed.scores[0].train_loss is None
    assert undisturbed.start_loss == undisturbed.scores[0].dev_loss
    assert undisturbed.soft_prompt.vectors.shape == start.vectors.shape
    assert undisturbed.soft_prompt.vectors.dtype == torch.float32
    assert undisturbed.soft_prompt.text_twin == start.text_twin
    assert not undisturbed.resumed


def test_a_run_reports_its_progress(steps: list[TrainStep]) -> None:
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
    other = run(tiny_backbone, start, configured(seed=1))
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
def test_unusable_examples_are_refused(
    tiny_backbone: Backbone, start: SoftPrompt, examples: list[Task], dev: list[Task], words: str
) -> None:
    with pytest.raises(TrainingError, match=words):
        run(tiny_backbone, start, examples=examples, dev=dev)


@pytest.mark.parametrize("patience", [1, 2])
def test_a_loss_that_is_not_finite_stops_the_run(tiny_backbone: Backbone, start: SoftPrompt, patience: int) -> None:
    broken = replace(start, vectors=start.vectors * math.nan)
    with pytest.raises(TrainingError, match="nan"):
        run(tiny_backbone, broken, configured(patience=patience))


class OverflowingLlama(LlamaForCausalLM):  # type: ignore[misc]
    """A tiny Llama whose logits overflow from the fifth training step on, as half precision does."""

    calls = 0

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        output = super().forward(*args, **kwargs)
        self.calls += torch.is_grad_enabled()
        if self.calls >= 5:
            output.logits = output.logits * math.inf
        return output


def test_a_diverged_run_suggests_a_lower_rate(tmp_path: Path, tiny_backbone: Backbone, start: SoftPrompt) -> None:
    model = OverflowingLlama(tiny_backbone.model.config)
    model.load_state_dict(tiny_backbone.model.state_dict())
    backbone = Backbone("tiny", "0" * 64, model, tiny_backbone.tokenizer)
    with pytest.raises(TrainingError, match="at step 5: training has diverged") as caught:
        run(backbone, start, folder=tmp_path)
    assert "--learning-rate 0.005" in caught.value.next_step
    # The checkpoint from before the overflow is intact: the same run can resume from it.
    assert same_bits(run(tiny_backbone, start, folder=tmp_path), run(tiny_backbone, start))


def test_an_example_beyond_the_context_is_refused(tiny_backbone: Backbone, start: SoftPrompt) -> None:
    long = task("x" * tiny_backbone.context_length, "Why?", "So.")
    with pytest.raises(ContextError, match="at most 512 tokens"):
        run(tiny_backbone, start, examples=[*EXAMPLES, long])


def test_the_loss_curve_is_a_picture(tmp_path: Path, undisturbed: TrainResult) -> None:
    path = tmp_path / "loss.png"
    save_loss_curve(undisturbed, path, "bank")
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
