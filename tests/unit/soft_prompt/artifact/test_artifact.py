"""A soft prompt on disk loads exactly, and is refused with the next step if it does not fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from artifact_checks import change, loaded, manifest_for, saved
from oracle import some_soft_prompt

from soft_prompt import (
    ArtifactError,
    Backbone,
    load_soft_prompt,
    read_manifest,
    save_soft_prompt,
)
from soft_prompt.artifact.manifest import FORMAT_VERSION
from soft_prompt.artifact.saved_folder import MANIFEST, VECTORS


def test_a_saved_soft_prompt_loads_exactly(folder: Path, tiny_backbone: Backbone) -> None:
    soft_prompt, written = saved(folder, tiny_backbone)
    loaded = load_soft_prompt(folder, tiny_backbone)
    assert loaded is not None
    again, manifest = loaded
    assert torch.equal(again.vectors, soft_prompt.vectors)
    assert (again.slot, again.text_twin) == (soft_prompt.slot, soft_prompt.text_twin)
    assert manifest == written == read_manifest(folder)
    assert sorted(path.name for path in folder.iterdir()) == [MANIFEST, VECTORS]
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name]


def test_a_missing_soft_prompt_is_no_error(folder: Path, tiny_backbone: Backbone) -> None:
    assert read_manifest(folder) is None
    assert load_soft_prompt(folder, tiny_backbone) is None


def test_a_new_soft_prompt_replaces_the_old_one(folder: Path, tiny_backbone: Backbone) -> None:
    saved(folder, tiny_backbone, seed=1)
    new, _ = saved(folder, tiny_backbone, seed=2)
    assert torch.equal(loaded(folder, tiny_backbone).vectors, new.vectors)
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name]


def cut_off_between_the_renames(folder: Path) -> None:
    """What a save leaves that was killed after it moved the old folder away."""
    folder.rename(folder.with_name(f".{folder.name}.old"))


def test_a_save_interrupted_between_its_renames_is_repaired(folder: Path, tiny_backbone: Backbone) -> None:
    old, _ = saved(folder, tiny_backbone)
    cut_off_between_the_renames(folder)
    assert torch.equal(loaded(folder, tiny_backbone).vectors, old.vectors)


def test_a_save_after_an_interrupted_one_keeps_the_old_files_until_it_is_complete(
    folder: Path, tiny_backbone: Backbone
) -> None:
    old, _ = saved(folder, tiny_backbone)
    cut_off_between_the_renames(folder)
    # The next save fails, because a folder blocks one of its files.
    (folder.parent / f".{folder.name}.old" / f".{MANIFEST}.tmp").mkdir()
    with pytest.raises(OSError, match="directory"):
        saved(folder, tiny_backbone, seed=2)
    assert torch.equal(loaded(folder, tiny_backbone).vectors, old.vectors)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("backbone_digest", "f" * 64, "weights ffffffffffffffff"),
        ("tokenizer_hash", "e" * 64, "tokenizer eeeeeeeeeeeeeeee"),
        ("hidden_size", 64, "hidden size 64"),
    ],
)
def test_a_soft_prompt_of_another_backbone_is_refused(
    folder: Path, tiny_backbone: Backbone, field: str, value: Any, words: str
) -> None:
    saved(folder, tiny_backbone)
    change(folder, **{field: value})
    with pytest.raises(ArtifactError, match=words) as caught:
        load_soft_prompt(folder, tiny_backbone)
    assert "softgraft train DOMAIN" in caught.value.next_step


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format_version": FORMAT_VERSION + 1}, "has the format 4"),
        ({"format_version": "1"}, "has the format '1'"),
        ({"kind": "kv2"}, "cannot be read"),
        ({"extra": 1}, "cannot be read"),
        ({"shape": [5, 32]}, "holds vectors"),
        ({"vectors_sha256": "0" * 64}, "digest"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(
    folder: Path, tiny_backbone: Backbone, changes: dict[str, Any], words: str
) -> None:
    saved(folder, tiny_backbone)
    change(folder, **changes)
    with pytest.raises(ArtifactError, match=words):
        load_soft_prompt(folder, tiny_backbone)


@pytest.mark.parametrize("name", [MANIFEST, VECTORS])
@pytest.mark.parametrize(
    "damage",
    [lambda data: b"", lambda data: data[:-9], lambda data: data[:60] + b"\xff" + data[61:], None],
    ids=["empty", "cut", "flipped", "absent"],
)
def test_damage_is_not_read_as_absence(
    folder: Path, tiny_backbone: Backbone, name: str, damage: Callable[[bytes], bytes] | None
) -> None:
    saved(folder, tiny_backbone)
    if damage is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(damage((folder / name).read_bytes()))
    with pytest.raises(ArtifactError) as caught:
        load_soft_prompt(folder, tiny_backbone)
    assert "softgraft train DOMAIN" in caught.value.next_step


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_vectors_that_are_not_finite_are_not_saved(folder: Path, tiny_backbone: Backbone, number: float) -> None:
    soft_prompt = some_soft_prompt(tiny_backbone, 4, 1)
    good, _ = saved(folder, tiny_backbone)
    soft_prompt.vectors[2, 3] = number
    with pytest.raises(ArtifactError, match="infinite or undefined"):
        save_soft_prompt(folder, soft_prompt, manifest_for(tiny_backbone, soft_prompt))
    assert torch.equal(loaded(folder, tiny_backbone).vectors, good.vectors)
