"""Micro-batches, and what else a step is made of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from kv_task import kv_start
from oracle import some_ids
from tiny_task import CONFIG, DEV, EXAMPLES, Killed, configured, run, same_bits
from transformers import LlamaForCausalLM

from prompts import PassageSegment, SoftSegment
from soft_prompt import (
    Attention,
    Backbone,
    PrefixStore,
    Row,
    SoftPrompt,
    TrainingError,
    TrainResult,
    TrainStep,
    encode_prompt,
    prompt_of,
)
from soft_prompt.model.memory import free_memory
from soft_prompt.training.answer_loss import answer_loss
from soft_prompt.training.example import TrainingExample
from soft_prompt.training.micro_batch import example_bytes, largest_micro_batch

pytestmark = pytest.mark.heavy

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def kv(tiny_backbone: Backbone) -> SoftPrompt:
    return kv_start(tiny_backbone)


def test_another_soft_prompt_fills_its_slot_alone(start: SoftPrompt) -> None:
    style = replace(start, slot="style")
    example = TrainingExample(Row(some_ids(3, 1), (some_ids(2, 2), start, style, some_ids(2, 3))), some_ids(2, 4))
    other = replace(start, vectors=start.vectors + 1)
    changed = example.with_soft_prompt(other)
    assert changed.row.suffix == (example.row.suffix[0], other, style, example.row.suffix[3])
    assert (changed.row.prefix, changed.answer) == (example.row.prefix, example.answer)


def test_another_soft_prompt_keeps_the_passages_separate(start: SoftPrompt) -> None:
    row = Row(some_ids(9, 1), (start, some_ids(2, 2)), cuts=(3, 6), attention="block", passages=2)
    other = replace(start, vectors=start.vectors + 1)
    assert row.with_soft_prompt(other) == replace(row, suffix=(other, row.suffix[1]))


def test_training_uses_block_attention(tiny_backbone: Backbone, start: SoftPrompt) -> None:
    passages = [PassageSegment(f"Passage {number} of the text. ", str(number)) for number in range(2)]
    prompt = prompt_of("Read this. ", *passages, SoftSegment(start.slot), user="What does it say?")
    task = [(prompt, "a text")]
    modes: tuple[Attention, ...] = ("exact", "block")
    losses = {}
    for attention in modes:
        config = configured(epochs=1, learning_rate=0.0, attention=attention)
        losses[attention] = run(tiny_backbone, start, config, examples=task, dev=task).start_loss
        row = encode_prompt(tiny_backbone, prompt, {start.slot: start}, attention)
        answer = (*tiny_backbone.encode_text("a text"), tiny_backbone.end_id)
        alone, tokens = answer_loss(PrefixStore(tiny_backbone), [TrainingExample(row, answer)])
        assert losses[attention] == pytest.approx(float(alone) / tokens, rel=1e-5)
    assert losses["exact"] != pytest.approx(losses["block"], rel=1e-4)


def test_a_batch_is_one_micro_batch_if_memory_suffices(undisturbed: TrainResult) -> None:
    assert (undisturbed.micro_batch, undisturbed.processes) == (CONFIG.batch_size, 1)


@pytest.mark.parametrize("micro_batch", [1, 3, 9])
def test_micro_batches_add_up_to_the_batch(tiny_backbone: Backbone, kv: SoftPrompt, micro_batch: int) -> None:
    whole = run(tiny_backbone, kv, configured(batch_size=5))
    parts = run(tiny_backbone, kv, configured(batch_size=5, micro_batch=micro_batch))
    assert parts.micro_batch == min(micro_batch, 5)
    # Answers differ in length: a mean of the parts' means would be a different loss.
    assert parts.losses == pytest.approx(whole.losses, abs=1e-5)
    torch.testing.assert_close(parts.soft_prompt.vectors, whole.soft_prompt.vectors, atol=1e-4, rtol=0)


def test_a_killed_run_keeps_its_micro_batch(
    tmp_path: Path, tiny_backbone: Backbone, kv: SoftPrompt, monkeypatch: pytest.MonkeyPatch
) -> None:
    from soft_prompt.training import training

    config = configured(batch_size=4)
    # The test must not depend on the memory that other processes leave free.
    monkeypatch.setattr(training, "free_memory", lambda _: 1)
    whole = run(tiny_backbone, kv, config)
    assert whole.micro_batch == 1
    with pytest.raises(Killed):
        run(tiny_backbone, kv, config, folder=tmp_path, kill_at=13)
    monkeypatch.setattr(training, "free_memory", lambda _: 1 << 40)
    result = run(tiny_backbone, kv, config, folder=tmp_path)
    assert result.resumed
    assert result.micro_batch == 1
    assert same_bits(result, whole)


class SmallLlama(LlamaForCausalLM):  # type: ignore[misc]
    """A tiny Llama on a device that runs out of memory with more than `max_rows` rows that need a gradient."""

    max_rows = 2

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if torch.is_grad_enabled() and len(kwargs["inputs_embeds"]) > self.max_rows:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return super().forward(*args, **kwargs)


def small(backbone: Backbone, max_rows: int) -> Backbone:
    model = SmallLlama(backbone.model.config)
    model.load_state_dict(backbone.model.state_dict())
    model.max_rows = max_rows
    return Backbone("tiny", "0" * 64, model, backbone.tokenizer)


def test_a_micro_batch_that_runs_out_of_memory_is_halved(tiny_backbone: Backbone, kv: SoftPrompt) -> None:
    config = configured(batch_size=5)
    whole = run(tiny_backbone, kv, config)
    result = run(small(tiny_backbone, 2), kv, config)
    assert result.micro_batch == 2
    assert same_bits(result, run(tiny_backbone, kv, configured(batch_size=5, micro_batch=2)))
    assert result.losses == pytest.approx(whole.losses, abs=1e-5)
    with pytest.raises(TrainingError, match="one example alone does not fit"):
        run(small(tiny_backbone, 0), kv, config)


def test_the_micro_batch_follows_free_memory_and_the_longest_example(tiny_backbone: Backbone) -> None:
    short, long = (TrainingExample(Row(some_ids(40, 1), (some_ids(n, 2),)), some_ids(3, 3)) for n in (4, 60))
    need = example_bytes(tiny_backbone, long)
    assert need > example_bytes(tiny_backbone, short)
    assert largest_micro_batch(tiny_backbone, [short, long], 8, 1 << 40) == 8
    assert largest_micro_batch(tiny_backbone, [short, long], 8, need * 6) == 3
    assert largest_micro_batch(tiny_backbone, [short], 8, need * 6) > 3
    assert largest_micro_batch(tiny_backbone, [short, long], 8, 0) == 1


def test_free_memory_is_a_plausible_number_of_bytes() -> None:
    assert 1 << 20 < free_memory(CPU) < 1 << 50


def test_progress_counts_batches_not_micro_batches(tiny_backbone: Backbone, start: SoftPrompt) -> None:
    from soft_prompt import PrefixStore, train

    seen: list[TrainStep] = []
    train(PrefixStore(tiny_backbone), start, EXAMPLES, DEV, configured(micro_batch=1), on_step=seen.append)
    assert [step.done for step in seen if step.phase == "train"] == list(range(1, 10))
