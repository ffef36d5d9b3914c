"""A model's folder that is not what it seems is refused before anything is allocated, and never blocks its reader."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from soft_prompt import Backbone, BackboneError, weights_checksum
from soft_prompt.model.tokenizer import BackboneTokenizer
from tests.support.hostile_files import endless, huge_header, pipe, sparse

# Left out of `make check`.
pytestmark = pytest.mark.heavy


def blocked(*_: object) -> None:
    raise TimeoutError("the read blocked")


@pytest.fixture(autouse=True)
def _alarm() -> Iterator[None]:
    """Ends a read that blocks."""
    previous = signal.signal(signal.SIGALRM, blocked)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, previous)


@pytest.fixture
def folder(tmp_path: Path, tiny_backbone: Backbone) -> Path:
    tiny_backbone.model.save_pretrained(tmp_path)
    tiny_backbone.tokenizer.save_pretrained(tmp_path)
    return tmp_path


NAMES = ("model.safetensors", "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("damage", [pipe, endless, sparse], ids=["pipe", "device", "sparse"])
def test_only_regular_files_of_a_plausible_size_are_read(
    folder: Path, name: str, damage: Callable[[Path], None]
) -> None:
    damage(folder / name)
    with pytest.raises(BackboneError, match=name):
        Backbone.load(str(folder))


def test_more_chat_templates_are_regular_files_too(folder: Path) -> None:
    template = folder / "additional_chat_templates" / "tool_use.jinja"
    template.parent.mkdir()
    template.touch()
    pipe(template)
    with pytest.raises(BackboneError, match=r"tool_use\.jinja is a pipe"):
        Backbone.load(str(folder))


@pytest.mark.parametrize("place", ["below/model.safetensors", "../model.safetensors"])
def test_weights_outside_of_the_folder_are_refused(folder: Path, tiny_backbone: Backbone, place: str) -> None:
    elsewhere = folder / place
    elsewhere.parent.mkdir(exist_ok=True)
    (folder / "model.safetensors").rename(elsewhere)
    save_file({"other": torch.zeros(1)}, folder / "other.safetensors")
    names = dict.fromkeys(tiny_backbone.model.state_dict(), place)
    index = {"metadata": {}, "weight_map": names}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(BackboneError, match=r"names the weights '.*', which are not in the folder itself"):
        Backbone.load(str(folder))


def test_weights_in_several_files_load(tmp_path: Path, tiny_backbone: Backbone) -> None:
    tiny_backbone.model.save_pretrained(tmp_path, max_shard_size="20KB")
    tiny_backbone.tokenizer.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors.index.json").is_file()
    backbone = Backbone.load(str(tmp_path), dtype=torch.float32)
    assert weights_checksum(backbone) == weights_checksum(tiny_backbone)


def test_a_header_that_claims_a_terabyte_is_refused(folder: Path) -> None:
    huge_header(folder / "model.safetensors")
    with pytest.raises(BackboneError, match="has a header of"):
        Backbone.load(str(folder))


@pytest.mark.parametrize(
    "changes",
    [
        {"vocab_size": 10**9},
        {"vocab_size": 40_000, "hidden_size": 4096},
        {"num_hidden_layers": 10**9},
        {"num_attention_heads": 10**9},
        {"intermediate_size": 10**12},
        {"text_config": {"intermediate_size": 10**12}},
    ],
    ids=str,
)
def test_sizes_that_the_weights_do_not_have_are_refused(folder: Path, changes: dict[str, Any]) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **changes}))
    with pytest.raises(BackboneError, match=r"config\.json says"):
        Backbone.load(str(folder))


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"])
@pytest.mark.parametrize("text", ["", "[]", "null", "{}", '{"a":', "[" * 100_000, '{"hidden_size": "x"}'])
def test_settings_of_another_form_are_refused_or_read(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    try:
        Backbone.load(str(folder))
    except BackboneError as error:
        assert error.next_step  # noqa: PT017


def test_a_peft_adapter_is_no_model(folder: Path) -> None:
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA", "base_model_name_or_path": "elsewhere"}')
    with pytest.raises(BackboneError, match="belongs to a PEFT adapter"):
        Backbone.load(str(folder))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "tf_model.h5"])
@pytest.mark.parametrize("load", [Backbone.load, BackboneTokenizer.load])
def test_pickled_weights_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, load: Callable[[str], object]
) -> None:
    monkeypatch.setattr("torch.load", lambda *_, **__: pytest.fail("torch.load was called"))
    (folder / "model.safetensors").rename(folder / name)
    with pytest.raises(BackboneError, match="no weights in safetensors") as raised:
        load(str(folder))
    assert "pickled weights are never read" in raised.value.expected
    assert f'from_pretrained("{folder}").save_pretrained("{folder}")' in raised.value.next_step
