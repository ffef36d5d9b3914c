"""The prefix store: the same tensors from memory, from disk and computed again, within its budgets."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
import torch
from oracle import some_ids

from soft_prompt import Backbone, PrefixStore

LENGTH = 8
# Three layers, keys and values, two heads of eight, fp32.
ENTRY = 3 * 2 * 2 * LENGTH * 8 * 4
PREFIXES = [some_ids(LENGTH, seed) for seed in range(4)]


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary folders, so that a test sees leftovers."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def files(scratch: Path) -> list[Path]:
    return sorted(scratch.rglob("*.safetensors"))


def test_an_entry_is_what_the_model_computes(tiny_backbone: Backbone, store: PrefixStore) -> None:
    with torch.no_grad():
        cache = tiny_backbone.model(torch.tensor([PREFIXES[0]]), use_cache=True).past_key_values
    entry = store.get(PREFIXES[0])
    assert entry.shape == (3, 2, 2, LENGTH, 8)
    assert entry.numel() * entry.element_size() == ENTRY
    for layer, expected in zip(entry, cache.layers, strict=True):
        assert torch.equal(layer[0], expected.keys[0])
        assert torch.equal(layer[1], expected.values[0])


def test_a_prefix_that_fits_is_kept_in_memory(scratch: Path, tiny_backbone: Backbone) -> None:
    store = PrefixStore(tiny_backbone, memory_bytes=4 * ENTRY)
    first = [store.get(prefix) for prefix in PREFIXES]
    assert all(store.get(list(prefix)) is entry for prefix, entry in zip(PREFIXES, first, strict=True))
    assert files(scratch) == []
    assert store.computed_tokens == 4 * LENGTH


def test_what_does_not_fit_moves_to_disk_and_comes_back_equal(scratch: Path, tiny_backbone: Backbone) -> None:
    store = PrefixStore(tiny_backbone, memory_bytes=2 * ENTRY)
    first = [store.get(prefix).clone() for prefix in PREFIXES]
    assert len(files(scratch)) == 2
    for _ in range(2):
        assert all(torch.equal(store.get(p), entry) for p, entry in zip(PREFIXES, first, strict=True))
    assert store.computed_tokens == 4 * LENGTH
    store.close()


def test_the_least_recently_used_entry_leaves_memory_first(scratch: Path, tiny_backbone: Backbone) -> None:
    store = PrefixStore(tiny_backbone, memory_bytes=2 * ENTRY)
    kept = store.get(PREFIXES[0])
    store.get(PREFIXES[1])
    store.get(PREFIXES[0])
    store.get(PREFIXES[2])
    assert store.get(PREFIXES[0]) is kept
    store.close()


def test_a_store_without_memory_works_from_disk(scratch: Path, tiny_backbone: Backbone) -> None:
    store = PrefixStore(tiny_backbone, memory_bytes=0)
    first = [store.get(prefix).clone() for prefix in PREFIXES]
    assert len(files(scratch)) == 4
    assert all(torch.equal(store.get(p), entry) for p, entry in zip(PREFIXES, first, strict=True))
    assert store.computed_tokens == 4 * LENGTH
    store.close()


def test_a_full_disk_budget_drops_the_oldest(scratch: Path, tiny_backbone: Backbone) -> None:
    store = PrefixStore(tiny_backbone, memory_bytes=0, disk_bytes=2 * ENTRY)
    first = [store.get(prefix).clone() for prefix in PREFIXES[:3]]
    assert len(files(scratch)) == 2
    # The second and third are still there; the first is computed again, and equal.
    store.get(PREFIXES[1])
    store.get(PREFIXES[2])
    assert store.computed_tokens == 3 * LENGTH
    assert torch.equal(store.get(PREFIXES[0]), first[0])
    assert store.computed_tokens == 4 * LENGTH
    assert len(files(scratch)) == 2
    store.close()


def test_an_entry_larger_than_the_disk_budget_is_computed_each_time(scratch: Path, tiny_backbone: Backbone) -> None:
    store = PrefixStore(tiny_backbone, memory_bytes=0, disk_bytes=ENTRY - 1)
    assert torch.equal(store.get(PREFIXES[0]), store.get(PREFIXES[0]))
    assert store.computed_tokens == 2 * LENGTH
    assert files(scratch) == []


def test_close_removes_the_folder_and_the_store_can_be_used_again(scratch: Path, tiny_backbone: Backbone) -> None:
    store = PrefixStore(tiny_backbone, memory_bytes=0)
    first = store.get(PREFIXES[0]).clone()
    assert [path.name.startswith("softgraft-prefixes-") for path in scratch.iterdir()] == [True]
    store.close()
    assert list(scratch.iterdir()) == []
    assert torch.equal(store.get(PREFIXES[0]), first)
    assert store.computed_tokens == 2 * LENGTH
    store.close()
    store.close()
    assert list(scratch.iterdir()) == []


def test_a_damaged_or_lost_file_costs_time_and_nothing_else(scratch: Path, tiny_backbone: Backbone) -> None:
    store = PrefixStore(tiny_backbone, memory_bytes=0)
    first = [store.get(prefix).clone() for prefix in PREFIXES[:2]]
    lost, cut = files(scratch)
    # Folders for temporary files are swept by others.
    lost.unlink()
    cut.write_bytes(cut.read_bytes()[:100])
    assert all(torch.equal(store.get(p), entry) for p, entry in zip(PREFIXES[:2], first, strict=True))
    store.close()


def test_a_folder_that_is_swept_away_costs_time_and_nothing_else(scratch: Path, tiny_backbone: Backbone) -> None:
    # Neither reading nor writing works any more, as on a full disk.
    store = PrefixStore(tiny_backbone, memory_bytes=0)
    first = [store.get(prefix).clone() for prefix in PREFIXES[:2]]
    shutil.rmtree(next(scratch.iterdir()))
    assert all(torch.equal(store.get(p), entry) for p, entry in zip(PREFIXES[:2], first, strict=True))
    assert store.get(PREFIXES[2]).shape == first[0].shape
    store.close()
