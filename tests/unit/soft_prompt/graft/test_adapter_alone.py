"""The kind `adapter`: the text twin's words stay in the slot, and only weights that act from there on are trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from adapter_checks import check_rows_alone, hidden_states, last_logits, merged, some_adapter
from artifact_checks import manifest_for
from oracle import some_ids, some_kv, some_soft_prompt
from tiny_task import DEV, Killed, configured, run, same_bits, task

from soft_prompt import (
    ArtifactError,
    Backbone,
    BackboneError,
    DivergedError,
    PrefixStore,
    Row,
    SoftPrompt,
    TrainingError,
    adapter_prompt,
    encode_prompt,
    from_text_twin,
    initial_adapter,
    initial_scaling,
    load_soft_prompt,
    save_soft_prompt,
    weights_checksum,
)
from soft_prompt.graft.prompt import VECTORS
from soft_prompt.model.kv_cache import dynamic_cache, prefill
from soft_prompt.rows.batch import assemble
from soft_prompt.training.answer_loss import answer_loss
from soft_prompt.training.example import TrainingExample

pytestmark = pytest.mark.heavy

TWIN = "Be brief."


@pytest.fixture(scope="module")
def blank(tiny_backbone: Backbone) -> SoftPrompt:
    """One that changes nothing yet."""
    return adapter_prompt(tiny_backbone, "domain", TWIN, initial_adapter(tiny_backbone, 2, 0))


def loud(backbone: Backbone, twin: str = TWIN, rank: int = 2) -> SoftPrompt:
    return adapter_prompt(backbone, "domain", twin, some_adapter(backbone, rank, 1))


def test_it_starts_as_its_text_twin(tiny_backbone: Backbone, blank: SoftPrompt) -> None:
    prompt, _ = DEV[0]
    with_text, with_adapter = (encode_prompt(tiny_backbone, prompt, {"domain": fill}) for fill in (TWIN, blank))
    assert with_adapter.prefix == with_text.prefix
    assert (with_adapter.length, with_adapter.run_length) == (with_text.length, with_text.run_length)
    assert with_adapter.fixed_prefix
    assert torch.equal(last_logits(tiny_backbone, [with_adapter]), last_logits(tiny_backbone, [with_text]))


@pytest.mark.parametrize("twin", [TWIN, ""])
def test_from_the_slot_on_the_row_runs_as_with_merged_weights(family_backbone: Backbone, twin: str) -> None:
    soft = loud(family_backbone, twin)
    assert soft.adapter is not None
    prefix, suffix = some_ids(12, 1), some_ids(5, 2)
    words = tuple(family_backbone.encode_text(twin))
    assert soft.length == soft.run_length == len(words)
    actual = last_logits(family_backbone, [Row(prefix, (soft, suffix))])
    prefix_kv, other = prefill(family_backbone, prefix), merged(family_backbone, soft.adapter)
    length = len(prefix) + len(words) + len(suffix)
    with torch.no_grad():
        expected = other.model(
            input_ids=torch.tensor([[*words, *suffix]]),
            attention_mask=torch.ones(1, length, dtype=torch.int64),
            position_ids=torch.arange(len(prefix), length)[None],
            past_key_values=dynamic_cache([(layer[0][None], layer[1][None]) for layer in prefix_kv]),
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-4)


def mixed_rows(backbone: Backbone) -> list[Row]:
    """Rows of every kind: adapters alone with and without text, vectors, keys and values, a text, nothing."""
    alone, silent = loud(backbone), loud(backbone, "", rank=3)
    return [
        Row(some_ids(14, 1), (alone, some_ids(6, 2))),
        Row(some_ids(9, 3), (silent, some_ids(4, 4))),
        Row(some_ids(11, 5), (replace(some_kv(backbone, 3, 6), adapter=some_adapter(backbone, 5, 4)), some_ids(4, 7))),
        Row(some_ids(21, 8), (some_soft_prompt(backbone, 4, 5), some_ids(2, 9))),
        Row(some_ids(8, 10), (tuple(backbone.encode_text(TWIN)), some_ids(7, 11))),
        # Right behind the prefix, and shorter than the longest.
        Row(some_ids(12, 12), (silent, some_ids(1, 13))),
        Row((), (alone, some_ids(3, 14))),
    ]


def test_rows_of_every_kind_in_a_batch_equal_each_alone(tiny_backbone: Backbone) -> None:
    check_rows_alone(tiny_backbone, mixed_rows(tiny_backbone))


def test_what_stands_before_the_slot_comes_from_the_store(tiny_backbone: Backbone) -> None:
    # Next to a longer suffix, rows without an adapter would run the end of their prefix again.
    rows = [Row(some_ids(15, 1), (loud(tiny_backbone), some_ids(2, 2))), Row((), (some_ids(40, 3),))]
    assert int(assemble(PrefixStore(tiny_backbone), rows).mask[0, :15].sum()) == 15


def test_gradients_reach_the_weights_and_not_the_words(tiny_backbone: Backbone) -> None:
    soft = loud(tiny_backbone)
    assert VECTORS not in soft.tensors()
    live = soft.with_tensors({name: t.clone().requires_grad_(True) for name, t in soft.tensors().items()})
    examples = [TrainingExample(Row(some_ids(9, n), (live, some_ids(4, n + 9))), some_ids(3, n + 5)) for n in range(2)]
    total, _ = answer_loss(PrefixStore(tiny_backbone), examples)
    torch.autograd.backward(total)
    grown = [tensor.grad for tensor in live.tensors().values()]
    assert all(grad is not None and grad.abs().max() > 0 for grad in grown)
    assert not live.vectors.requires_grad
    assert all(parameter.grad is None for parameter in tiny_backbone.model.parameters())


@pytest.mark.parametrize("form", ["lora", "ia3"])
def test_training_improves_on_the_text_twin_and_leaves_the_words(
    tiny_backbone: Backbone, blank: SoftPrompt, form: str
) -> None:
    start = blank if form == "lora" else replace(blank, adapter=initial_scaling(tiny_backbone))
    tasks = [task("Fees: 12.", question, "12.") for question in ("How much?", "The fee?", "What is it?")]
    config = configured(epochs=20, batch_size=3, adapter_learning_rate=0.03, patience=20)
    checksum = weights_checksum(tiny_backbone)
    result = run(tiny_backbone, start, config, examples=tasks, dev=tasks)
    # A few hundred scales learn less by heart than low-rank weights do.
    assert result.dev_loss < {"lora": 0.25, "ia3": 0.6}[form] * result.start_loss
    assert result.soft_prompt.kind == "adapter"
    assert torch.equal(result.soft_prompt.vectors, blank.vectors)
    assert weights_checksum(tiny_backbone) == checksum
    words = from_text_twin(tiny_backbone, "domain", TWIN)
    idle = config.model_copy(update={"epochs": 1, "learning_rate": 0.0})
    assert result.start_loss == run(tiny_backbone, words, idle, examples=tasks, dev=tasks).start_loss


@pytest.mark.parametrize("form", ["lora", "ia3"])
def test_a_killed_run_ends_with_the_same_bits(
    tmp_path: Path, tiny_backbone: Backbone, blank: SoftPrompt, form: str
) -> None:
    start = blank if form == "lora" else replace(blank, adapter=initial_scaling(tiny_backbone))
    expected = run(tiny_backbone, start)
    with pytest.raises(Killed):
        run(tiny_backbone, start, folder=tmp_path, kill_at=13)
    result = run(tiny_backbone, start, folder=tmp_path)
    assert result.resumed
    assert same_bits(result, expected)
    actual, wanted = result.soft_prompt.tensors(), expected.soft_prompt.tensors()
    assert all(torch.equal(actual[name], wanted[name]) for name in wanted)


def test_other_words_in_the_slot_are_another_run(tmp_path: Path, tiny_backbone: Backbone, blank: SoftPrompt) -> None:
    assert blank.adapter is not None
    config = configured(epochs=1, checkpoint_steps=1)
    others = adapter_prompt(tiny_backbone, "domain", "Be frank.", blank.adapter)
    with pytest.raises(Killed):
        run(tiny_backbone, blank, config, folder=tmp_path, kill_at=10)
    assert not run(tiny_backbone, others, config, folder=tmp_path).resumed
    with pytest.raises(Killed):
        run(tiny_backbone, blank, config, folder=tmp_path, kill_at=10)
    assert run(tiny_backbone, blank, config, folder=tmp_path).resumed


@pytest.mark.parametrize("layers", [1, 3])
def test_layers_stand_for_the_last_blocks_and_no_gradient_exists_below(tiny_backbone: Backbone, layers: int) -> None:
    start = adapter_prompt(tiny_backbone, "domain", TWIN, initial_adapter(tiny_backbone, 2, 0, layers))
    assert start.with_trained_layers(layers) is start
    live = start.with_tensors({name: t.clone().requires_grad_(True) for name, t in start.tensors().items()})
    states = hidden_states(tiny_backbone, [Row(some_ids(9, n), (live, some_ids(4, n + 9))) for n in range(2)])
    assert [state.requires_grad for state in states] == [False] * (4 - layers) + [True] * layers
    assert run(tiny_backbone, start, configured(layers=layers, epochs=1)).best_epoch == 1


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"layers": 2}, "in block 0, and 2 layers to train"),
        ({"layers": 4}, "4 layers to train of the kind 'adapter'"),
    ],
)
def test_layers_without_an_adapter_beside_them_are_refused(
    tiny_backbone: Backbone, blank: SoftPrompt, setting: dict[str, Any], words: str
) -> None:
    with pytest.raises(TrainingError, match=words):
        run(tiny_backbone, blank, configured(**setting))


def test_the_kind_adapter_needs_an_adapter(tiny_backbone: Backbone, blank: SoftPrompt) -> None:
    with pytest.raises(TrainingError, match="without an adapter"):
        run(tiny_backbone, replace(blank, adapter=None))


def test_after_divergence_the_advice_is_to_lower_the_rates_that_were_used(
    tiny_backbone: Backbone, blank: SoftPrompt, start: SoftPrompt
) -> None:
    advice = []
    for soft in (blank, start, replace(start, adapter=blank.adapter)):
        broken = soft.with_tensors({name: tensor * torch.nan for name, tensor in soft.tensors().items()})
        with pytest.raises(DivergedError) as caught:
            run(tiny_backbone, broken)
        advice.append(caught.value.next_step)
    assert [" --learning-rate" in text for text in advice] == [False, True, True]
    assert ["--adapter-learning-rate" in text for text in advice] == [True, False, True]


def test_an_encoder_decoder_is_refused(encoder_backbone: Backbone, blank: SoftPrompt) -> None:
    with pytest.raises(BackboneError, match="an adapter on the encoder-decoder"):
        answer_loss(PrefixStore(encoder_backbone), [TrainingExample(Row((), (blank, some_ids(3, 1))), some_ids(2, 2))])


def save_one(folder: Path, backbone: Backbone, soft: SoftPrompt, **changes: Any) -> None:
    fields = {"kind": "adapter", "adapter": "lora", "adapter_rank": 2, **changes}
    save_soft_prompt(folder, soft, manifest_for(backbone, soft).model_copy(update=fields))


@pytest.mark.parametrize("twin", [TWIN, ""])
@pytest.mark.parametrize("layers", [None, 1])
def test_what_is_saved_comes_back_exactly(
    tmp_path: Path, tiny_backbone: Backbone, twin: str, layers: int | None
) -> None:
    soft = adapter_prompt(tiny_backbone, "domain", twin, initial_adapter(tiny_backbone, 2, 0, layers))
    save_one(tmp_path / "soft", tiny_backbone, soft, layers=layers)
    loaded = load_soft_prompt(tmp_path / "soft", tiny_backbone)
    assert loaded is not None
    assert (loaded[0].kind, loaded[0].text_twin, loaded[1].layers) == ("adapter", twin, layers)
    assert torch.equal(loaded[0].vectors, soft.vectors)
    assert loaded[0].tensors().keys() == soft.tensors().keys()
    assert all(torch.equal(tensor, soft.tensors()[name]) for name, tensor in loaded[0].tensors().items())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"adapter": None, "adapter_rank": None}, r"of the shape \(0, 32\)"),
        ({"adapter_rank": 3}, r"of the shape \(3, 32\)"),
        ({"adapter": "ia3", "adapter_rank": None}, "scale_in"),
        ({"kind": "kv"}, "of the shape"),
        ({"layers": 1}, "Expected: no (up|down)"),
        ({"adapter": "lora", "adapter_rank": None}, "holds down"),
    ],
)
def test_what_does_not_fit_its_manifest_is_refused(
    tmp_path: Path, tiny_backbone: Backbone, blank: SoftPrompt, changes: dict[str, Any], words: str
) -> None:
    save_one(tmp_path / "soft", tiny_backbone, blank, **changes)
    with pytest.raises(ArtifactError, match=words) as caught:
        load_soft_prompt(tmp_path / "soft", tiny_backbone)
    assert "softgraft train" in caught.value.next_step
