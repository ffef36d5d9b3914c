"""Pickled weights of an encoder or a reranker are never read, in whatever part of its folder they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
from safetensors.torch import load_file

from retrieval import load_encoder
from retrieval.encoders.cross_encoder import load_reranker
from retrieval.encoders.sentence_encoder import load_sentence_encoder
from retrieval.errors import EncoderError, RerankerError
from tests.support.small_sentence_encoder import write_sentence_encoder

# Left out of `make check`.
pytestmark = pytest.mark.heavy


@pytest.fixture(autouse=True)
def _no_unpickling(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> NoReturn:
        pytest.fail("torch.load was called")

    monkeypatch.setattr("torch.load", refused)


def pickle_weights(folder: Path) -> None:
    """The same weights in the older format."""
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def pickled_parts(folder: Path) -> None:
    """As large models have them: several files, and which tensor is in which."""
    pickle_weights(folder)
    (folder / "pytorch_model.bin").rename(folder / "pytorch_model-00001-of-00001.bin")
    (folder / "pytorch_model.bin.index.json").write_text('{"metadata": {}, "weight_map": {}}')


def pickled_module(folder: Path) -> None:
    """A module in a folder of its own, beside weights in safetensors."""
    dense = folder / "2_Dense"
    dense.mkdir()
    settings = {
        "in_features": 16,
        "out_features": 8,
        "bias": True,
        "activation_function": "torch.nn.modules.linear.Identity",
    }
    (dense / "config.json").write_text(json.dumps(settings))
    torch.save({"linear.weight": torch.zeros(8, 16), "linear.bias": torch.zeros(8)}, dense / "pytorch_model.bin")
    # Not a name that is looked for.
    (dense / "other.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    modules = json.loads((folder / "modules.json").read_text("utf-8"))
    kind = "sentence_transformers.models.Dense"
    modules.append({"idx": 2, "name": "2", "path": "2_Dense", "type": kind})
    (folder / "modules.json").write_text(json.dumps(modules))


def nothing(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


REFUSED = [pickle_weights, pickled_parts, pickled_module, nothing]


@pytest.mark.parametrize("change", REFUSED)
def test_pickled_weights_are_refused(tmp_path: Path, change: Callable[[Path], None]) -> None:
    folder = write_sentence_encoder(tmp_path / "model", None)
    change(folder)
    with pytest.raises(EncoderError, match="safetensors") as encoder:
        load_encoder(str(folder))
    with pytest.raises(RerankerError, match="safetensors") as reranker:
        load_reranker(str(folder))
    for error in (encoder.value, reranker.value):
        assert "pickled weights are never read" in error.expected
    assert f'SentenceTransformer("{folder}").save_pretrained("{folder}")' in encoder.value.next_step
    assert f'CrossEncoder("{folder}").save_pretrained("{folder}")' in reranker.value.next_step


def test_the_base_model_of_an_adapter_is_not_unpickled(tmp_path: Path) -> None:
    folder = write_sentence_encoder(tmp_path / "model", None)
    base = write_sentence_encoder(tmp_path / "base", None)
    pickle_weights(base)
    adapter = {"peft_type": "LORA", "base_model_name_or_path": str(base), "r": 1, "target_modules": ["query"]}
    (folder / "adapter_config.json").write_text(json.dumps(adapter))
    with pytest.raises(EncoderError):
        load_encoder(str(folder))
    with pytest.raises(RerankerError):
        load_reranker(str(folder))


def test_safetensors_are_read_beside_pickled_weights(tmp_path: Path) -> None:
    folder = write_sentence_encoder(tmp_path / "model", None)
    plain = load_encoder(str(folder)).encode(["a b c"])
    (folder / "pytorch_model.bin").write_bytes(b"no weights")
    (folder / "training_args.bin").write_bytes(b"no weights")
    (folder / "openvino").mkdir()
    (folder / "openvino" / "openvino_model.bin").write_bytes(b"another format")
    assert (load_encoder(str(folder)).encode(["a b c"]) == plain).all()


def test_a_model_of_the_hub_is_checked_like_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    stored = tmp_path / "models--someone--encoder"
    (stored / "refs").mkdir(parents=True)
    (stored / "refs" / "main").write_text("0" * 40)
    folder = write_sentence_encoder(stored / "snapshots" / ("0" * 40), None)
    encoder = load_sentence_encoder("someone/encoder", local_files_only=True)
    assert encoder.id == load_encoder(str(folder)).id.replace(str(folder), "someone/encoder")
    pickle_weights(folder)
    with pytest.raises(EncoderError, match="pickled weights are never read") as raised:
        load_sentence_encoder("someone/encoder", local_files_only=True)
    assert 'SentenceTransformer("someone/encoder").save_pretrained("encoder")' in raised.value.next_step
