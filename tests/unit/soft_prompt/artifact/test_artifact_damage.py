"""Damaged files: loading ends with a clear error or with the saved vectors."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from artifact_checks import change, loaded, manifest_for, saved
from oracle import some_kv, some_soft_prompt
from safetensors.torch import save
from torch import Tensor

from soft_prompt import (
    ArtifactError,
    Backbone,
    BackboneError,
    SoftPrompt,
    adapter_prompt,
    initial_adapter,
    load_soft_prompt,
    read_manifest,
    save_soft_prompt,
)
from soft_prompt.artifact.saved_folder import MANIFEST, VECTORS

# Left out of `make check`.
pytestmark = pytest.mark.heavy


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "soft_prompt"


def save_kv(folder: Path, backbone: Backbone, soft_prompt: SoftPrompt) -> None:
    manifest = manifest_for(backbone, soft_prompt).model_copy(update={"kind": "kv"})
    save_soft_prompt(folder, soft_prompt, manifest)


def overwrite(folder: Path, data: bytes) -> None:
    """Other vectors, with the digest that fits them."""
    (folder / VECTORS).write_bytes(data)
    change(folder, vectors_sha256=hashlib.sha256(data).hexdigest())


def refused(folder: Path, backbone: Backbone, words: str = "") -> None:
    with pytest.raises(ArtifactError, match=words) as caught:
        load_soft_prompt(folder, backbone)
    assert "softgraft train DOMAIN" in caught.value.next_step


@pytest.mark.parametrize("seed", range(8))
def test_the_digest_detects_a_flipped_bit_anywhere(folder: Path, tiny_backbone: Backbone, seed: int) -> None:
    saved(folder, tiny_backbone)
    data = bytearray((folder / VECTORS).read_bytes())
    rng = random.Random(seed)
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    (folder / VECTORS).write_bytes(data)
    refused(folder, tiny_backbone, "digest")


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.99])
def test_a_truncated_file_with_the_right_digest_is_refused(folder: Path, tiny_backbone: Backbone, share: float) -> None:
    saved(folder, tiny_backbone)
    data = (folder / VECTORS).read_bytes()
    overwrite(folder, data[: int(len(data) * share)])
    refused(folder, tiny_backbone, "is no soft prompt")


@pytest.mark.parametrize("size", [b"\xff" * 8, (1 << 40).to_bytes(8, "little"), bytes(8)])
def test_a_header_with_a_wrong_size_is_refused(folder: Path, tiny_backbone: Backbone, size: bytes) -> None:
    saved(folder, tiny_backbone)
    overwrite(folder, size + (folder / VECTORS).read_bytes()[8:])
    refused(folder, tiny_backbone, "is no soft prompt")


def test_a_header_with_flipped_bits_never_raises_anything_else(folder: Path, tiny_backbone: Backbone) -> None:
    saved(folder, tiny_backbone)
    data = (folder / VECTORS).read_bytes()
    rng = random.Random(0)
    for _ in range(150):
        damaged = bytearray(data)
        damaged[rng.randrange(120)] ^= 1 << rng.randrange(8)
        overwrite(folder, bytes(damaged))
        try:
            soft_prompt = loaded(folder, tiny_backbone)
        except ArtifactError as error:
            assert "softgraft train DOMAIN" in error.next_step  # noqa: PT017
        else:
            # A flip in the first vectors, or in the blanks behind the header, that leaves finite numbers.
            assert soft_prompt.vectors.shape == (4, tiny_backbone.hidden_size)
            assert torch.isfinite(soft_prompt.vectors).all()


@pytest.mark.parametrize(
    "tensors",
    [
        {"vectors": torch.zeros(5, 32)},
        {"vectors": torch.zeros(4, 31)},
        {"vectors": torch.zeros(4, 32, 1)},
        {"vectors": torch.zeros(128)},
        {"vectors": torch.zeros(4, 32, dtype=torch.bfloat16)},
        {"vectors": torch.zeros(4, 32, dtype=torch.float64)},
        {"vectors": torch.full((4, 32), float("nan"))},
        {"vectors": torch.zeros(4, 32), "extra": torch.zeros(1)},
        {"other": torch.zeros(4, 32)},
        {},
    ],
)
def test_wrong_tensors_with_the_right_digest_are_refused(
    folder: Path, tiny_backbone: Backbone, tensors: dict[str, Tensor]
) -> None:
    saved(folder, tiny_backbone)
    overwrite(folder, save(tensors))
    refused(folder, tiny_backbone, VECTORS)


def test_the_shape_must_match_the_backbone_too(folder: Path, tiny_backbone: Backbone) -> None:
    saved(folder, tiny_backbone)
    overwrite(folder, save({"vectors": torch.zeros(4, 16)}))
    change(folder, shape=[4, 16])
    refused(folder, tiny_backbone, r"of the shape \(4, 32\)")


def test_a_saved_kv_soft_prompt_loads_exactly(folder: Path, tiny_backbone: Backbone) -> None:
    soft = some_kv(tiny_backbone, 4, 1)
    save_kv(folder, tiny_backbone, soft)
    assert torch.equal(loaded(folder, tiny_backbone).vectors, soft.vectors)


@pytest.mark.parametrize("shape", [(2, 2, 2, 4, 8), (3, 2, 1, 4, 8), (3, 2, 2, 4, 16), (3, 1, 2, 4, 8), (4, 32)])
def test_kv_vectors_must_match_the_layers_and_heads_of_the_backbone(
    folder: Path, tiny_backbone: Backbone, shape: tuple[int, ...]
) -> None:
    save_kv(folder, tiny_backbone, some_kv(tiny_backbone, 4, 1))
    overwrite(folder, save({"vectors": torch.zeros(shape)}))
    change(folder, shape=list(shape))
    refused(folder, tiny_backbone, r"of the shape \(3, 2, 2, 4, 8\)")


@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_a_kv_soft_prompt_is_refused_if_positions_cannot_move(
    folder: Path, tiny_backbone: Backbone, make_tiny_backbone: Callable[..., Backbone], family: str
) -> None:
    save_kv(folder, tiny_backbone, some_kv(tiny_backbone, 4, 1))
    other = make_tiny_backbone(family)
    change(folder, tokenizer_hash=other.tokenizer_hash)
    with pytest.raises(BackboneError, match="cannot be moved") as caught:
        load_soft_prompt(folder, other)
    assert "--kind embedding" in caught.value.next_step


def test_a_soft_prompt_of_another_tokenizer_is_refused(
    folder: Path, tiny_backbone: Backbone, make_tiny_backbone: Callable[..., Backbone]
) -> None:
    saved(folder, tiny_backbone)
    other = make_tiny_backbone()
    other.tokenizer.add_tokens(["pounds"])
    refused(folder, Backbone("other", tiny_backbone.digest, other.model, other.tokenizer), "tokenizer")


def test_a_soft_prompt_of_other_weights_is_refused(folder: Path, tiny_backbone: Backbone) -> None:
    saved(folder, tiny_backbone)
    other = replace(tiny_backbone, id="other", digest="1" * 64)
    refused(folder, other, "weights 0000000000000000")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "cannot be read"),
        ("null", "cannot be read: it is no JSON object with a `format_version`"),
        ("[]", "cannot be read: it is no JSON object with a `format_version`"),
        ("{}", "cannot be read: it is no JSON object with a `format_version`"),
        ('{"format_version": 1}', "cannot be read: kind: Field required; .* and 16 more"),
        ('{"format_version": "3"}', "has the format '3'"),
        ('{"format_version": null}', "has the format None"),
        # What a newer format may hold is not this version's to judge, so the format is said first.
        ('{"format_version": 99, "kind": "unheard of"}', "has the format 99"),
        ("[" * 100_000, "cannot be read"),
    ],
)
def test_a_malformed_manifest_is_refused(folder: Path, tiny_backbone: Backbone, text: str, words: str) -> None:
    saved(folder, tiny_backbone)
    (folder / MANIFEST).write_text(text)
    refused(folder, tiny_backbone, words)


def test_the_error_names_the_field_of_a_manifest_that_is_wrong(folder: Path, tiny_backbone: Backbone) -> None:
    saved(folder, tiny_backbone)
    change(folder, colour="green")
    refused(folder, tiny_backbone, "cannot be read: colour: Extra inputs are not permitted")
    saved(folder, tiny_backbone)
    change(folder, seed=1, manifest_sha256="0" * 64)
    refused(folder, tiny_backbone, "cannot be read: it does not have the digest that it names")


def test_a_binary_manifest_is_refused(folder: Path, tiny_backbone: Backbone) -> None:
    saved(folder, tiny_backbone)
    (folder / MANIFEST).write_bytes(b"\xff\xfe\x00")
    refused(folder, tiny_backbone, "cannot be read")


def without(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda manifest: {key: value for key, value in manifest.items() if key != name}


def test_a_manifest_without_one_of_its_fields_is_refused(folder: Path, tiny_backbone: Backbone) -> None:
    _, manifest = saved(folder, tiny_backbone)
    fields = json.loads((folder / MANIFEST).read_text())
    optional = {name for name, field in type(manifest).model_fields.items() if not field.is_required()}
    for name in fields:
        (folder / MANIFEST).write_text(json.dumps(without(name)(fields)))
        if name == "manifest_sha256":
            assert read_manifest(folder) == manifest.model_copy(update={name: ""})
        elif name in optional:
            # It has its default, so the digest fits.
            assert read_manifest(folder) == manifest
        else:
            refused(folder, tiny_backbone, "cannot be read")


@pytest.mark.parametrize("name", [MANIFEST, VECTORS])
def test_a_folder_in_place_of_a_file_is_refused(folder: Path, tiny_backbone: Backbone, name: str) -> None:
    saved(folder, tiny_backbone)
    (folder / name).unlink()
    (folder / name).mkdir()
    refused(folder, tiny_backbone, "cannot be read")


def test_an_empty_folder_is_refused(folder: Path, tiny_backbone: Backbone) -> None:
    folder.mkdir()
    refused(folder, tiny_backbone, "cannot be read")


def test_a_manifest_of_an_adapter_in_no_layer_is_refused(folder: Path, tiny_backbone: Backbone) -> None:
    soft_prompt = adapter_prompt(tiny_backbone, "domain", "Be brief.", initial_adapter(tiny_backbone, 2, 0))
    manifest = manifest_for(tiny_backbone, soft_prompt).model_copy(update={"kind": "adapter", "adapter_rank": 2})
    save_soft_prompt(folder, soft_prompt, manifest)
    loaded(folder, tiny_backbone)
    overwrite(folder, save({"vectors": soft_prompt.vectors}))
    change(folder, layers=0)
    refused(folder, tiny_backbone, "layers: Input should be greater than or equal to 1")


def test_a_manifest_without_an_adapter_means_no_adapter(folder: Path, tiny_backbone: Backbone) -> None:
    save_soft_prompt(folder, soft := some_soft_prompt(tiny_backbone, 4, 1), manifest_for(tiny_backbone, soft))
    change(folder, adapter_rank=2)
    refused(folder, tiny_backbone, "holds down")
