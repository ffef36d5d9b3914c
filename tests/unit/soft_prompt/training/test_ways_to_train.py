"""Reparameterisation, random lengths and micro-batches: what they change and leave alone, and that they resume."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from kv_task import kv_start
from oracle import some_ids
from tiny_task import CONFIG, DEV, EXAMPLES, Killed, run, same_bits
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
    initial_adapter,
    prompt_of,
)
from soft_prompt.training.answer_loss import answer_loss
from soft_prompt.training.example import Example
from soft_prompt.training.micro_batch import fitting_micro_batch, free_memory, row_bytes
from soft_prompt.training.reparameterise import GAIN, initial_network, reparameterised
from soft_prompt.training.trained_tensors import TrainedTensors

pytestmark = pytest.mark.heavy

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def kv(tiny_backbone: Backbone) -> SoftPrompt:
    return kv_start(tiny_backbone)


@pytest.mark.parametrize("kind", ["embedding", "kv"])
@pytest.mark.parametrize("way", ["reparameterise", "random_length"])
def test_a_run_in_another_way_killed_anywhere_ends_with_the_same_bits(
    tmp_path: Path, tiny_backbone: Backbone, start: SoftPrompt, kv: SoftPrompt, way: str, kind: str
) -> None:
    begin = start if kind == "embedding" else kv
    config = replace(CONFIG, **{way: True})
    whole = run(tiny_backbone, begin, config)
    assert not same_bits(whole, run(tiny_backbone, begin))
    for kill_at in (10, 13, 16, 19):
        folder = tmp_path / str(kill_at)
        with pytest.raises(Killed):
            run(tiny_backbone, begin, config, folder=folder, kill_at=kill_at)
        result = run(tiny_backbone, begin, config, folder=folder)
        assert result.resumed
        assert same_bits(result, whole)


@pytest.mark.parametrize("kind", ["embedding", "kv"])
def test_a_network_starts_at_the_vectors_and_is_gone_afterwards(
    tiny_backbone: Backbone, start: SoftPrompt, kv: SoftPrompt, kind: str
) -> None:
    begin = start if kind == "embedding" else kv
    # Without a rate of their own the vectors change through the network alone.
    config = replace(CONFIG, reparameterise=True, learning_rate=0.0, adapter_learning_rate=0.05, epochs=6)
    result = run(tiny_backbone, begin, config)
    assert result.start_loss == run(tiny_backbone, begin).start_loss
    assert result.dev_loss < result.start_loss
    assert result.soft_prompt.tensors().keys() == begin.tensors().keys()
    assert result.soft_prompt.vectors.shape == begin.vectors.shape
    assert not torch.equal(result.soft_prompt.vectors, begin.vectors)
    # The kept vectors are the sum itself: a run of no learning measures the same.
    again = run(tiny_backbone, result.soft_prompt, replace(CONFIG, epochs=1, learning_rate=0.0))
    assert again.start_loss == pytest.approx(result.dev_loss, abs=1e-6)


def test_a_network_serves_every_layer_and_position_alike() -> None:
    vectors = torch.randn(3, 2, 2, 5, 8, generator=torch.Generator().manual_seed(0))
    network = initial_network(vectors, "kv", 1)
    network[GAIN] = torch.randn(16, generator=torch.Generator().manual_seed(2))
    whole = reparameterised(vectors, "kv", network)
    for layer, part, position in ((0, 0, 0), (2, 1, 4), (1, 0, 3)):
        # A row is what all heads have at a position, in the order of the heads.
        row = vectors[layer, part, :, position].reshape(1, 16)
        expected = reparameterised(row, "embedding", network).reshape(2, 8)
        torch.testing.assert_close(whole[layer, part, :, position], expected)


def test_an_adapter_may_stand_beside_a_network(tiny_backbone: Backbone, kv: SoftPrompt) -> None:
    begin = replace(kv, adapter=initial_adapter(tiny_backbone, 2, 0))
    kept = run(tiny_backbone, begin, replace(CONFIG, reparameterise=True)).soft_prompt
    assert kept.tensors().keys() == begin.tensors().keys()


def test_lengths_are_drawn_from_seed_and_step(start: SoftPrompt, kv: SoftPrompt) -> None:
    for begin in (start, kv):
        trained = TrainedTensors(begin, replace(CONFIG, random_length=True), CPU)
        lengths = [trained.for_step(step).length for step in range(200)]
        assert set(lengths) == set(range(1, begin.length + 1))
        assert lengths == [trained.for_step(step).length for step in range(200)]
        other = TrainedTensors(begin, replace(CONFIG, random_length=True, seed=1), CPU)
        assert lengths != [other.for_step(step).length for step in range(200)]
        assert trained.soft_prompt().length == begin.length


def test_a_shortened_soft_prompt_is_its_beginning(start: SoftPrompt, kv: SoftPrompt) -> None:
    assert torch.equal(start.shortened(3).vectors, start.vectors[:3])
    short = kv.with_top(1).shortened(2)
    assert short.length == 2
    assert short.lower is not None
    assert torch.equal(torch.cat((short.lower, short.vectors)), kv.vectors[..., :2, :])
    for length in (0, kv.length + 1):
        with pytest.raises(TrainingError, match=f"a soft prompt of {kv.length}"):
            kv.shortened(length)


def test_random_lengths_make_shorter_ones_better(tiny_backbone: Backbone, kv: SoftPrompt) -> None:
    config = replace(CONFIG, epochs=12, learning_rate=0.1)
    stay = replace(CONFIG, epochs=1, learning_rate=0.0)
    losses = []
    for random_length in (False, True):
        kept = run(tiny_backbone, kv, replace(config, random_length=random_length), dev=EXAMPLES).soft_prompt
        losses.append(run(tiny_backbone, kept.shortened(1), stay, dev=EXAMPLES).start_loss)
    assert losses[1] < losses[0]


def test_another_soft_prompt_takes_its_slot_alone(start: SoftPrompt) -> None:
    style = replace(start, slot="style")
    example = Example(Row(some_ids(3, 1), (some_ids(2, 2), start, style, some_ids(2, 3))), some_ids(2, 4))
    other = replace(start, vectors=start.vectors + 1)
    changed = example.with_soft_prompt(other)
    assert changed.row.suffix == (example.row.suffix[0], other, style, example.row.suffix[3])
    assert (changed.row.prefix, changed.answer) == (example.row.prefix, example.answer)


def test_another_soft_prompt_leaves_the_passages_apart(start: SoftPrompt) -> None:
    row = Row(some_ids(9, 1), (start, some_ids(2, 2)), cuts=(3, 6), attention="block", passages=2)
    other = replace(start, vectors=start.vectors + 1)
    assert row.with_soft_prompt(other) == replace(row, suffix=(other, row.suffix[1]))


def test_block_attention_is_trained_in(tiny_backbone: Backbone, start: SoftPrompt) -> None:
    passages = [PassageSegment(f"Passage {number} of the text. ", str(number)) for number in range(2)]
    prompt = prompt_of("Read this. ", *passages, SoftSegment(start.slot), user="What does it say?")
    task = [(prompt, "a text")]
    modes: tuple[Attention, ...] = ("exact", "block")
    losses = {}
    for attention in modes:
        config = replace(CONFIG, epochs=1, learning_rate=0.0, attention=attention)
        losses[attention] = run(tiny_backbone, start, config, examples=task, dev=task).start_loss
        row = encode_prompt(tiny_backbone, prompt, {start.slot: start}, attention)
        answer = (*tiny_backbone.encode_text("a text"), tiny_backbone.end_id)
        alone, tokens = answer_loss(PrefixStore(tiny_backbone), [Example(row, answer)])
        assert losses[attention] == pytest.approx(float(alone) / tokens, rel=1e-5)
    assert losses["exact"] != pytest.approx(losses["block"], rel=1e-4)


# Micro-batches


def test_with_memory_enough_a_batch_is_one_micro_batch(undisturbed: TrainResult) -> None:
    assert (undisturbed.micro_batch, undisturbed.processes) == (CONFIG.batch_size, 1)


@pytest.mark.parametrize("micro_batch", [1, 3, 9])
def test_micro_batches_add_up_to_the_batch(tiny_backbone: Backbone, kv: SoftPrompt, micro_batch: int) -> None:
    whole = run(tiny_backbone, kv, replace(CONFIG, batch_size=5))
    parts = run(tiny_backbone, kv, replace(CONFIG, batch_size=5, micro_batch=micro_batch))
    assert parts.micro_batch == min(micro_batch, 5)
    # Answers differ in length: a mean of the parts' means would be another loss.
    assert parts.losses == pytest.approx(whole.losses, abs=1e-5)
    torch.testing.assert_close(parts.soft_prompt.vectors, whole.soft_prompt.vectors, atol=1e-4, rtol=0)


def test_a_killed_run_keeps_its_micro_batch(
    tmp_path: Path, tiny_backbone: Backbone, kv: SoftPrompt, monkeypatch: pytest.MonkeyPatch
) -> None:
    from soft_prompt.training import training

    config = replace(CONFIG, batch_size=4)
    # What another process leaves free is no part of a test, so it is told.
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
    """A tiny Llama on a device that runs out of memory with more than so many rows that need a gradient."""

    room = 2

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if torch.is_grad_enabled() and len(kwargs["inputs_embeds"]) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return super().forward(*args, **kwargs)


def small(backbone: Backbone, room: int) -> Backbone:
    model = SmallLlama(backbone.model.config)
    model.load_state_dict(backbone.model.state_dict())
    model.room = room
    return Backbone("tiny", "0" * 64, model, backbone.tokenizer)


def test_what_runs_out_of_memory_is_halved_and_goes_on(tiny_backbone: Backbone, kv: SoftPrompt) -> None:
    config = replace(CONFIG, batch_size=5)
    whole = run(tiny_backbone, kv, config)
    result = run(small(tiny_backbone, 2), kv, config)
    assert result.micro_batch == 2
    assert same_bits(result, run(tiny_backbone, kv, replace(config, micro_batch=2)))
    assert result.losses == pytest.approx(whole.losses, abs=1e-5)
    with pytest.raises(TrainingError, match="one example alone does not fit"):
        run(small(tiny_backbone, 0), kv, config)


def test_the_micro_batch_follows_free_memory_and_the_longest_example(tiny_backbone: Backbone) -> None:
    short, long = (Example(Row(some_ids(40, 1), (some_ids(n, 2),)), some_ids(3, 3)) for n in (4, 60))
    need = row_bytes(tiny_backbone, long)
    assert need > row_bytes(tiny_backbone, short)
    assert fitting_micro_batch(tiny_backbone, [short, long], 8, 1 << 40) == 8
    assert fitting_micro_batch(tiny_backbone, [short, long], 8, need * 6) == 3
    assert fitting_micro_batch(tiny_backbone, [short], 8, need * 6) > 3
    assert fitting_micro_batch(tiny_backbone, [short, long], 8, 0) == 1


def test_free_memory_is_a_plausible_number_of_bytes() -> None:
    assert 1 << 20 < free_memory(CPU) < 1 << 50


def test_progress_counts_batches_not_micro_batches(tiny_backbone: Backbone, start: SoftPrompt) -> None:
    from soft_prompt import PrefixStore, train

    seen: list[TrainStep] = []
    train(PrefixStore(tiny_backbone), start, EXAMPLES, DEV, replace(CONFIG, micro_batch=1), on_step=seen.append)
    assert [step.done for step in seen if step.phase == "train"] == list(range(1, 10))
