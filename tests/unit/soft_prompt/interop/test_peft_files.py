"""A PEFT folder that is not what it seems is refused before anything is allocated, and never blocks its reader."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from interop_task import INVOCATION, some_graft
from safetensors.torch import load_file, save_file

from soft_prompt import ArtifactError, Backbone
from soft_prompt.interop.peft_export import export_peft
from soft_prompt.interop.peft_import import import_peft
from tests.support.hostile_files import endless, huge_header, pipe, sparse

# Left out of `make check`.
pytestmark = pytest.mark.heavy

CONFIG, TENSORS, OWN = "adapter_config.json", "adapter_model.safetensors", "softgraft.json"


def blocked(*_: object) -> None:
    raise TimeoutError("the read blocked")


@pytest.fixture(autouse=True)
def _limits() -> Iterator[None]:
    """Ends a read that blocks, and one that fills the memory."""
    previous = signal.signal(signal.SIGALRM, blocked)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    if pages:
        resource.setrlimit(resource.RLIMIT_AS, (pages * os.sysconf("SC_PAGE_SIZE") + 2**30, hard))
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, previous)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def folder_of(backbone: Backbone, kind: str, folder: Path) -> Path:
    export_peft(folder, some_graft(backbone, kind), backbone, invocation_ids=INVOCATION if kind == "adapter" else None)
    return folder


def foreign(folder: Path) -> Path:
    """As PEFT would have saved it."""
    (folder / OWN).unlink()
    return folder


def change(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **changes}))


@pytest.mark.parametrize("name", [CONFIG, TENSORS, OWN])
@pytest.mark.parametrize("damage", [pipe, endless, sparse, huge_header])
def test_only_regular_files_of_a_plausible_size_are_read(
    tiny_backbone: Backbone, tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    folder = folder_of(tiny_backbone, "adapter", tmp_path / "in")
    damage(folder / name)
    with pytest.raises(ArtifactError, match=name):
        import_peft(folder, tiny_backbone, "domain", "")


def test_a_tensor_of_a_terabyte_is_refused_by_its_header(tiny_backbone: Backbone, tmp_path: Path) -> None:
    folder = foreign(folder_of(tiny_backbone, "embedding", tmp_path / "in"))
    header = {"prompt_embeddings": {"dtype": "F32", "shape": [2**33, 32], "data_offsets": [0, 2**40]}}
    text = json.dumps(header).encode()
    (folder / TENSORS).write_bytes(len(text).to_bytes(8, "little") + text)
    with (folder / TENSORS).open("ab") as file:
        file.truncate(8 + len(text) + 2**40)
    change(folder / CONFIG, num_virtual_tokens=2**33)
    with pytest.raises(ArtifactError, match="virtual tokens"):
        import_peft(folder, tiny_backbone, "domain", "")
    change(folder / CONFIG, num_virtual_tokens=10)
    with pytest.raises(ArtifactError, match="holds prompt_embeddings"):
        import_peft(folder, tiny_backbone, "domain", "")


@pytest.mark.parametrize("rank", [20_000, 10**400])
def test_a_rank_above_the_width_of_the_layers_is_refused(tiny_backbone: Backbone, tmp_path: Path, rank: int) -> None:
    folder = foreign(folder_of(tiny_backbone, "adapter", tmp_path / "in"))
    change(folder / CONFIG, r=rank)
    with pytest.raises(ArtifactError, match="rank of"):
        import_peft(folder, tiny_backbone, "domain", "")


def test_a_length_above_the_context_is_refused(tiny_backbone: Backbone, tmp_path: Path) -> None:
    folder = folder_of(tiny_backbone, "adapter", tmp_path / "in")
    change(folder / OWN, length=10**9, text_twin="a")
    with pytest.raises(ArtifactError, match="length of 1,000,000,000"):
        import_peft(folder, tiny_backbone)


@pytest.mark.parametrize("alpha", [1e308, 1e39, -1e308])
def test_a_scale_that_makes_the_weights_infinite_is_refused(
    tiny_backbone: Backbone, tmp_path: Path, alpha: float
) -> None:
    folder = foreign(folder_of(tiny_backbone, "adapter", tmp_path / "in"))
    change(folder / CONFIG, lora_alpha=alpha)
    with pytest.raises(ArtifactError, match="infinite or undefined"):
        import_peft(folder, tiny_backbone, "domain", "")


@pytest.mark.parametrize("kind", ["embedding", "kv", "adapter"])
@pytest.mark.parametrize("name", [CONFIG, TENSORS, OWN])
def test_a_flipped_bit_in_an_export_of_ours_is_noticed(
    tiny_backbone: Backbone, tmp_path: Path, kind: str, name: str
) -> None:
    folder = folder_of(tiny_backbone, kind, tmp_path / "in")
    data, rng = (folder / name).read_bytes(), random.Random(0)
    before = import_peft(folder, tiny_backbone)
    for _ in range(60):
        damaged = bytearray(data)
        damaged[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        (folder / name).write_bytes(damaged)
        try:
            after = import_peft(folder, tiny_backbone)
        except ArtifactError:
            continue
        # In the words that describe the placement, for people alone.
        assert name == OWN
        assert after.digest == before.digest


def test_weights_of_peft_itself_have_no_digest(tiny_backbone: Backbone, tmp_path: Path) -> None:
    folder = foreign(folder_of(tiny_backbone, "embedding", tmp_path / "in"))
    tensors = load_file(folder / TENSORS)
    save_file({name: tensor + 1 for name, tensor in tensors.items()}, folder / TENSORS)
    assert torch.equal(import_peft(folder, tiny_backbone, "domain", "").vectors, tensors["prompt_embeddings"] + 1)
