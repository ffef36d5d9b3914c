"""Adapters act from the slot on, on their own row, and nowhere else."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from adapter_checks import check_adapter_acts_from_the_slot_on, last_logits, some_adapter
from artifact_checks import manifest_for
from oracle import some_ids, some_kv, some_soft_prompt
from tiny_task import Killed, configured, run, same_bits, task

from soft_prompt import (
    Adapter,
    ArtifactError,
    Backbone,
    BackboneError,
    Decoding,
    PrefixStore,
    Row,
    SoftPrompt,
    from_text_twin,
    generate,
    initial_adapter,
    load_soft_prompt,
    save_soft_prompt,
    weights_checksum,
)
from soft_prompt.artifact.saved_folder import VECTORS
from soft_prompt.graft.adapter_hooks import apply_adapters, batch_adapters
from soft_prompt.rows.batch import assemble
from soft_prompt.training.answer_loss import answer_loss
from soft_prompt.training.example import TrainingExample

# Left out of `make check`.
pytestmark = pytest.mark.heavy


def test_from_the_slot_on_the_row_runs_as_with_merged_weights(family_backbone: Backbone) -> None:
    check_adapter_acts_from_the_slot_on(family_backbone)


def mixed_rows(backbone: Backbone) -> list[Row]:
    """Rows of different domains: two adapters of different ranks, one shared, none; both kinds; other lengths."""
    one, other = some_adapter(backbone, 2, 3), some_adapter(backbone, 5, 4)
    soft = some_soft_prompt(backbone, 4, 5)
    return [
        Row(some_ids(14, 1), (replace(soft, adapter=one), some_ids(6, 2))),
        Row(some_ids(9, 3), (replace(some_kv(backbone, 3, 6), adapter=other), some_ids(4, 4))),
        Row(some_ids(21, 5), (soft, some_ids(2, 6))),
        Row((), (replace(soft, adapter=one), some_ids(3, 7))),
        Row(some_ids(11, 8), (some_ids(7, 9),)),
        # Its suffix is shorter than the longest one, but its prefix must not run again, where the adapter would act.
        Row(some_ids(12, 10), (replace(soft, adapter=one), some_ids(1, 11))),
    ]


def test_each_row_of_a_batch_has_its_own_adapter(tiny_backbone: Backbone) -> None:
    rows = mixed_rows(tiny_backbone)
    whole = last_logits(tiny_backbone, rows)
    for number, row in enumerate(rows):
        torch.testing.assert_close(whole[number], last_logits(tiny_backbone, [row])[0], atol=1e-4, rtol=0)


def test_generation_in_a_batch_equals_one_by_one(tiny_backbone: Backbone) -> None:
    rows, store, decoding = mixed_rows(tiny_backbone), PrefixStore(tiny_backbone), Decoding(max_tokens=9)
    batched = [reply.text for reply in generate(store, rows, decoding)]
    assert batched == [generate(store, [row], decoding)[0].text for row in rows]
    without = [Row(r.prefix, tuple(replace(p, adapter=None) if isinstance(p, SoftPrompt) else p for p in r.suffix))
            for r in rows]  # fmt: skip
    assert batched != [reply.text for reply in generate(store, without, decoding)]


def test_a_new_adapter_changes_nothing(tiny_backbone: Backbone) -> None:
    soft = some_soft_prompt(tiny_backbone, 4, 1)
    row, with_blank = (
        Row(some_ids(9, 1), (replace(soft, adapter=adapter), some_ids(5, 2)))
        for adapter in (None, initial_adapter(tiny_backbone, 4, 0))
    )
    assert torch.equal(last_logits(tiny_backbone, [row]), last_logits(tiny_backbone, [with_blank]))


def test_without_it_the_backbone_gives_the_same_bits_as_before(make_tiny_backbone: Callable[..., Backbone]) -> None:
    backbone = make_tiny_backbone()
    row = Row(some_ids(9, 1), (some_soft_prompt(backbone, 4, 1), some_ids(5, 2)))
    before, checksum = last_logits(backbone, [row]), weights_checksum(backbone)
    last_logits(backbone, mixed_rows(backbone))
    assert torch.equal(last_logits(backbone, [row]), before)
    assert weights_checksum(backbone) == checksum


def test_a_copy_of_a_backbone_that_had_one_meets_it_once(make_tiny_backbone: Callable[..., Backbone]) -> None:
    backbone = make_tiny_backbone()
    soft = replace(some_soft_prompt(backbone, 4, 1), adapter=some_adapter(backbone, 2, 3))
    row = Row(some_ids(9, 1), (soft, some_ids(5, 2)))
    expected = last_logits(backbone, [row])
    other = Backbone(backbone.id, backbone.digest, copy.deepcopy(backbone.model), backbone.tokenizer)
    assert torch.equal(last_logits(other, [row]), expected)


def test_another_thread_does_not_meet_it(tiny_backbone: Backbone) -> None:
    row = Row(some_ids(9, 1), (some_soft_prompt(tiny_backbone, 4, 1), some_ids(5, 2)))
    expected = last_logits(tiny_backbone, [row])
    with (
        ThreadPoolExecutor(1) as pool,
        apply_adapters(tiny_backbone, batch_adapters(tiny_backbone, [some_adapter(tiny_backbone, 2, 3)])),
    ):
        assert torch.equal(pool.submit(last_logits, tiny_backbone, [row]).result(), expected)


def test_gradients_reach_vectors_and_weights_and_nothing_else(tiny_backbone: Backbone) -> None:
    soft = replace(some_soft_prompt(tiny_backbone, 4, 1), adapter=some_adapter(tiny_backbone, 2, 2))
    live = soft.with_tensors({name: t.clone().requires_grad_(True) for name, t in soft.tensors().items()})
    examples = [TrainingExample(Row(some_ids(9, n), (live, some_ids(4, n + 9))), some_ids(3, n + 5)) for n in range(2)]
    total, _ = answer_loss(PrefixStore(tiny_backbone), examples)
    torch.autograd.backward(total)
    for name, tensor in live.tensors().items():
        assert tensor.grad is not None, name
        assert tensor.grad.abs().max() > 0, name
    assert all(parameter.grad is None for parameter in tiny_backbone.model.parameters())


def test_two_in_one_prompt_are_refused(tiny_backbone: Backbone) -> None:
    adapter = some_adapter(tiny_backbone, 2, 1)
    one, other = (replace(some_soft_prompt(tiny_backbone, 2, n, f"s{n}"), adapter=adapter) for n in range(2))
    with pytest.raises(BackboneError, match="2 soft prompts with an adapter"):
        assemble(PrefixStore(tiny_backbone), [Row(some_ids(4, 1), (one, other, some_ids(2, 2)))])


@pytest.fixture
def start_with_adapter(tiny_backbone: Backbone) -> SoftPrompt:
    start = from_text_twin(tiny_backbone, "domain", "Be brief.")
    return replace(start, adapter=initial_adapter(tiny_backbone, 2, 0))


def test_it_is_trained_with_the_vectors(tiny_backbone: Backbone, start_with_adapter: SoftPrompt) -> None:
    tasks = [task("Fees: 12.", question, "12.") for question in ("How much?", "The fee?", "What is it?")]
    config = configured(epochs=20, batch_size=3, learning_rate=0.0, adapter_learning_rate=0.02, patience=20)
    checksum = weights_checksum(tiny_backbone)
    result = run(tiny_backbone, start_with_adapter, config, examples=tasks, dev=tasks)
    assert result.dev_loss < 0.25 * result.start_loss
    assert torch.equal(result.soft_prompt.vectors, start_with_adapter.vectors)
    assert result.soft_prompt.adapter is not None
    assert result.soft_prompt.adapter.rank == 2
    assert weights_checksum(tiny_backbone) == checksum
    assert start_with_adapter.adapter is not None
    assert all(not up.any() for up in start_with_adapter.adapter.up.values())


def test_a_killed_run_ends_with_the_same_bits(
    tmp_path: Path, tiny_backbone: Backbone, start_with_adapter: SoftPrompt
) -> None:
    expected = run(tiny_backbone, start_with_adapter)
    for kill_at in (10, 13, 16):
        with pytest.raises(Killed):
            run(tiny_backbone, start_with_adapter, folder=tmp_path / str(kill_at), kill_at=kill_at)
        result = run(tiny_backbone, start_with_adapter, folder=tmp_path / str(kill_at))
        assert result.resumed
        assert same_bits(result, expected)
        actual, wanted = result.soft_prompt.tensors(), expected.soft_prompt.tensors()
        assert all(torch.equal(actual[name], wanted[name]) for name in wanted)
    # A run without an adapter is another run.
    without = replace(start_with_adapter, adapter=None)
    with pytest.raises(Killed):
        run(tiny_backbone, start_with_adapter, folder=tmp_path, kill_at=12)
    assert not run(tiny_backbone, without, folder=tmp_path).resumed


def save_one(folder: Path, backbone: Backbone, soft_prompt: SoftPrompt, rank: int | None) -> None:
    manifest = manifest_for(backbone, soft_prompt).model_copy(update={"adapter_rank": rank})
    save_soft_prompt(folder, soft_prompt, manifest)


def test_what_is_saved_comes_back_exactly(tmp_path: Path, tiny_backbone: Backbone) -> None:
    soft = replace(some_soft_prompt(tiny_backbone, 4, 1), adapter=some_adapter(tiny_backbone, 3, 2))
    save_one(tmp_path / "soft", tiny_backbone, soft, 3)
    loaded = load_soft_prompt(tmp_path / "soft", tiny_backbone)
    assert loaded is not None
    # The order too: sums over all tensors depend on it, and so do the bits of a training that starts here.
    assert list(loaded[0].tensors()) == list(soft.tensors())
    for name, tensor in soft.tensors().items():
        assert torch.equal(loaded[0].tensors()[name], tensor)
    assert (tmp_path / "soft" / VECTORS).is_file()


def test_a_killed_run_from_a_saved_start_goes_on(
    tmp_path: Path, tiny_backbone: Backbone, start_with_adapter: SoftPrompt
) -> None:
    """As in two processes, each of which reads the start from its folder."""
    save_one(tmp_path / "soft", tiny_backbone, start_with_adapter, 2)

    def start() -> SoftPrompt:
        loaded = load_soft_prompt(tmp_path / "soft", tiny_backbone)
        assert loaded is not None
        return loaded[0]

    expected = run(tiny_backbone, start())
    with pytest.raises(Killed):
        run(tiny_backbone, start(), folder=tmp_path / "run", kill_at=13)
    result = run(tiny_backbone, start(), folder=tmp_path / "run")
    assert result.resumed
    assert same_bits(result, expected)


@pytest.mark.parametrize("fault", ["rank", "unnamed", "missing"])
def test_an_adapter_that_does_not_fit_its_manifest_is_refused(
    tmp_path: Path, tiny_backbone: Backbone, fault: str
) -> None:
    adapter = some_adapter(tiny_backbone, 3, 2)
    soft = replace(some_soft_prompt(tiny_backbone, 4, 1), adapter=None if fault == "missing" else adapter)
    save_one(tmp_path / "soft", tiny_backbone, soft, {"rank": 4, "unnamed": None}.get(fault, 3))
    with pytest.raises(ArtifactError, match=r"holds (down|up)\.") as caught:
        load_soft_prompt(tmp_path / "soft", tiny_backbone)
    assert "softgraft train" in caught.value.next_step


def test_an_adapter_that_is_not_finite_is_not_saved(tmp_path: Path, tiny_backbone: Backbone) -> None:
    adapter = some_adapter(tiny_backbone, 3, 2)
    first = next(iter(adapter.up))
    adapter = Adapter(adapter.down, {**adapter.up, first: adapter.up[first] * math.nan})
    soft = replace(some_soft_prompt(tiny_backbone, 4, 1), adapter=adapter)
    with pytest.raises(ArtifactError, match="infinite or undefined"):
        save_one(tmp_path / "soft", tiny_backbone, soft, 3)
    assert load_soft_prompt(tmp_path / "soft", tiny_backbone) is None
