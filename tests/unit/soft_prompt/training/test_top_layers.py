"""`layers`: only the last layers are trained; the lower ones keep the text twin's keys and values."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from adapter_checks import hidden_states, last_logits, some_adapter_above
from artifact_checks import change, manifest_for
from kv_task import kv_start
from oracle import some_ids, some_soft_prompt
from safetensors.torch import load, save
from tiny_task import Killed, configured, run, same_bits

from soft_prompt import (
    ArtifactError,
    Backbone,
    Row,
    SoftPrompt,
    TrainingError,
    initial_adapter,
    load_soft_prompt,
    save_soft_prompt,
)
from soft_prompt.artifact.saved_folder import VECTORS

# Left out of `make check`.
pytestmark = pytest.mark.heavy

LAYERS = 3


@pytest.fixture(scope="module")
def kv(tiny_backbone: Backbone) -> SoftPrompt:
    return kv_start(tiny_backbone)


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("rank", [0, 2])
def test_no_gradient_exists_below_the_trained_layers(
    tiny_backbone: Backbone, kv: SoftPrompt, layers: int, rank: int
) -> None:
    adapter = initial_adapter(tiny_backbone, rank, 0, layers) if rank else None
    top = replace(kv, adapter=adapter).with_trained_layers(layers)
    live = top.with_tensors({name: t.clone().requires_grad_(True) for name, t in top.tensors().items()})
    states = hidden_states(tiny_backbone, [Row(some_ids(9, n), (live, some_ids(4, n + 9))) for n in range(2)])
    below = LAYERS - layers
    assert [state.requires_grad for state in states] == [False] * (below + 1) + [True] * layers
    torch.autograd.backward(states[-1].sum())
    assert all(tensor.grad is not None for tensor in live.tensors().values())


def test_a_soft_prompt_split_by_layers_gives_the_same_logits(tiny_backbone: Backbone, kv: SoftPrompt) -> None:
    row, split = (Row(some_ids(9, 1), (soft, some_ids(4, 2))) for soft in (kv, kv.with_trained_layers(1)))
    assert torch.equal(last_logits(tiny_backbone, [row]), last_logits(tiny_backbone, [split]))
    assert kv.with_trained_layers(LAYERS) is kv
    again = kv.with_trained_layers(2).with_trained_layers(1)
    assert again.lower is not None
    assert torch.equal(torch.cat((again.lower, again.vectors)), kv.vectors)


def test_a_batch_of_different_layers_and_kinds_equals_single_rows(tiny_backbone: Backbone, kv: SoftPrompt) -> None:
    rng = torch.Generator().manual_seed(1)
    other = replace(kv, vectors=torch.randn(kv.vectors[..., :3, :].shape, generator=rng))
    beside = replace(other.with_trained_layers(1), adapter=some_adapter_above(tiny_backbone, 1))
    fills = [kv.with_trained_layers(1), other.with_trained_layers(2), kv, beside, some_soft_prompt(tiny_backbone, 4, 1)]
    rows = [Row(some_ids(7 + n, n), (fill, some_ids(3 + n, n + 9))) for n, fill in enumerate(fills)]
    rows.append(Row(some_ids(12, 20), (some_ids(5, 21),)))
    logits = last_logits(tiny_backbone, rows)
    for number, row in enumerate(rows):
        torch.testing.assert_close(logits[number], last_logits(tiny_backbone, [row])[0], atol=1e-4, rtol=0)


@pytest.mark.parametrize("layers", [1, 2])
def test_training_does_not_change_the_lower_layers(tiny_backbone: Backbone, kv: SoftPrompt, layers: int) -> None:
    result = run(tiny_backbone, kv, configured(layers=layers))
    kept = result.soft_prompt
    assert kept.lower is not None
    assert torch.equal(kept.lower, kv.vectors[: LAYERS - layers])
    assert kept.vectors.shape == (layers, *kv.vectors.shape[1:])
    assert result.dev_loss < result.start_loss
    assert result.start_loss == run(tiny_backbone, kv, configured(epochs=1)).start_loss


def test_a_killed_run_ends_with_the_same_bits(tmp_path: Path, tiny_backbone: Backbone, kv: SoftPrompt) -> None:
    config = configured(layers=1)
    whole = run(tiny_backbone, kv, config)
    with pytest.raises(Killed):
        run(tiny_backbone, kv, config, folder=tmp_path, kill_at=16)
    result = run(tiny_backbone, kv, config, folder=tmp_path)
    assert result.resumed
    assert same_bits(result, whole)


@pytest.mark.parametrize("change", ["kind", "many", "adapter"])
def test_a_start_without_these_layers_is_refused(
    tiny_backbone: Backbone, start: SoftPrompt, kv: SoftPrompt, change: str
) -> None:
    vectors = {
        "kind": start,
        "many": kv,
        "adapter": replace(kv, adapter=initial_adapter(tiny_backbone, 2, 0)),
    }[change]
    words = {"kind": "'embedding', which has none", "many": "4 layers to train of the kind 'kv' with 3",
             "adapter": "an adapter in block 0"}[change]  # fmt: skip
    with pytest.raises(TrainingError, match=words):
        run(tiny_backbone, vectors, configured(layers=4 if change == "many" else 1))


def saved(folder: Path, backbone: Backbone, soft: SoftPrompt, **changes: Any) -> None:
    rank = soft.adapter.rank if soft.adapter else None
    fields = {"kind": "kv", "layers": int(soft.vectors.shape[0]), "adapter_rank": rank, **changes}
    save_soft_prompt(folder, soft, manifest_for(backbone, soft).model_copy(update=fields))


def test_a_saved_soft_prompt_loads_exactly(tmp_path: Path, tiny_backbone: Backbone, kv: SoftPrompt) -> None:
    adapter = initial_adapter(tiny_backbone, 2, 0, 1)
    soft = replace(kv, adapter=adapter).with_trained_layers(1)
    saved(tmp_path / "soft", tiny_backbone, soft)
    loaded = load_soft_prompt(tmp_path / "soft", tiny_backbone)
    assert loaded is not None
    again, manifest = loaded
    assert again.lower is not None
    assert soft.lower is not None
    assert torch.equal(again.lower, soft.lower)
    assert torch.equal(again.vectors, soft.vectors)
    assert again.tensors().keys() == soft.tensors().keys()
    assert manifest.layers == 1


@pytest.mark.parametrize("fault", ["unnamed", "other", "missing", "nan", "short"])
def test_layers_that_do_not_fit_the_manifest_are_refused(
    tmp_path: Path, tiny_backbone: Backbone, kv: SoftPrompt, fault: str
) -> None:
    folder, soft = tmp_path / "soft", kv.with_trained_layers(1)
    saved(folder, tiny_backbone, soft, **{"unnamed": {"layers": None}, "other": {"layers": 2}}.get(fault, {}))
    tensors = load((folder / VECTORS).read_bytes())
    if fault == "missing":
        del tensors["lower"]
    elif fault == "nan":
        tensors["lower"][0, 0, 0, 0, 0] = torch.nan
    elif fault == "short":
        tensors["lower"] = tensors["lower"][:1]
    data = save(tensors)
    (folder / VECTORS).write_bytes(data)
    change(folder, vectors_sha256=hashlib.sha256(data).hexdigest())
    with pytest.raises(ArtifactError, match=r"holds (lower|vectors)") as caught:
        load_soft_prompt(folder, tiny_backbone)
    assert "softgraft train" in caught.value.next_step
