"""Entries on disk: memory-mapped, shared by later processes, and computed again if damaged."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from oracle import some_ids

from soft_prompt import Backbone, PrefixStore
from soft_prompt.rows import disk_store
from soft_prompt.rows.disk_store import DiskStore
from tests.support.read_only import read_only

ENTRY = torch.arange(48, dtype=torch.float32).reshape(3, 2, 2, 2, 2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "passages"


def test_what_is_written_is_read_by_another_store_exactly(folder: Path) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        name = str(dtype).removeprefix("torch.")
        assert DiskStore(folder, 10**6).put(name, ENTRY.to(dtype))
        actual = DiskStore(folder, 10**6).get(name)
        assert actual is not None
        assert actual.dtype == dtype
        assert torch.equal(actual, ENTRY.to(dtype))


def test_nothing_is_made_before_the_first_entry(folder: Path) -> None:
    store = DiskStore(folder, 10**6)
    assert store.get("absent") is None
    assert not folder.exists()


def test_entries_on_a_read_only_disk_stay_of_use(folder: Path) -> None:
    for name in ("one", "two"):
        DiskStore(folder, 10**6).put(name, ENTRY)
    with read_only(folder.parent):
        store = DiskStore(folder, 10**6)
        assert not any(store.put(name, ENTRY) for name in ("three", "four", "five"))
        assert all(store.get(name) is not None for name in ("one", "two"))


def test_two_stores_may_write_one_entry_at_the_same_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = DiskStore(folder, 10**6), DiskStore(folder, 10**6)
    replace_file = Path.replace

    def other_comes_first(scratch: Path, target: Path) -> Path:
        monkeypatch.undo()
        assert other.put("entry", ENTRY)
        return replace_file(scratch, target)

    monkeypatch.setattr(Path, "replace", other_comes_first)
    assert one.put("entry", ENTRY)
    assert [file.name for file in folder.iterdir()] == ["entry.safetensors"]


def test_entries_are_mapped_from_their_files(folder: Path) -> None:
    DiskStore(folder, 10**9).put("large", torch.zeros(2**20))
    entry = DiskStore(folder, 10**9).get("large")
    assert entry is not None
    maps = Path("/proc/self/maps")
    if not maps.is_file():
        pytest.skip("only Linux lists mapped files")
    assert str(folder / "large.safetensors") in maps.read_text()


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-9],
        lambda data: data[:40],
        lambda data: data[:-3] + bytes([data[-3] ^ 1]) + data[-2:],
    ],
    ids=["empty", "cut", "header only", "one bit"],
)
def test_a_damaged_entry_counts_as_absent_and_is_removed(folder: Path, damage: Callable[[bytes], bytes]) -> None:
    DiskStore(folder, 10**6).put("entry", ENTRY)
    path = folder / "entry.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    store = DiskStore(folder, 10**6)
    assert store.get("entry") is None
    assert not path.exists()
    assert store.put("entry", ENTRY)
    assert torch.equal(store.get("entry"), ENTRY)  # type: ignore[arg-type]


def test_the_least_recently_used_leave_first_across_processes(folder: Path) -> None:
    first = DiskStore(folder, 10**6)
    for number, name in enumerate(("a", "b", "c")):
        first.put(name, ENTRY)
        os.utime(folder / f"{name}.safetensors", (number, number))
    assert first.get("a") is not None
    size = sum(path.stat().st_size for path in folder.iterdir())
    second = DiskStore(folder, size)
    assert second.put("d", ENTRY)
    assert sorted(path.stem for path in folder.iterdir()) == ["a", "c", "d"]
    assert second.total_bytes <= size


def test_a_disk_that_is_nearly_full_is_left_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_store, "RESERVE", 2**62)
    store = DiskStore(folder, 10**6)
    assert not store.put("entry", ENTRY)
    assert store.get("entry") is None
    assert list(folder.iterdir()) == []


def test_a_second_process_computes_nothing(folder: Path, tiny_backbone: Backbone) -> None:
    head, passage = some_ids(6, 1), some_ids(9, 2)
    first = PrefixStore(tiny_backbone, folder=folder)
    entries = [first.get(head).clone(), first.get(passage, (head,)).clone()]
    first.close()
    second = PrefixStore(tiny_backbone, folder=folder)
    assert torch.equal(second.get(head), entries[0])
    assert torch.equal(second.get(passage, (head,)), entries[1])
    assert second.computed_tokens == 0


def other_weights(backbone: Backbone) -> Backbone:
    return replace(backbone, digest="1" * 64)


def other_dtype(backbone: Backbone) -> Backbone:
    import copy

    return replace(backbone, model=copy.deepcopy(backbone.model).to(torch.bfloat16))


def other_tokenizer(backbone: Backbone) -> Backbone:
    actual = replace(backbone)
    actual.__dict__["tokenizer_hash"] = "another"
    return actual


@pytest.mark.parametrize("other", [other_weights, other_dtype, other_tokenizer])
def test_what_another_backbone_computed_is_not_taken(
    folder: Path, tiny_backbone: Backbone, other: Callable[[Backbone], Backbone]
) -> None:
    PrefixStore(tiny_backbone, folder=folder).get(some_ids(6, 1))
    store = PrefixStore(other(tiny_backbone), folder=folder)
    store.get(some_ids(6, 1))
    assert store.computed_tokens == 6


@pytest.mark.parametrize("change", ["ids", "before", "cut elsewhere", "nothing"])
def test_an_entry_stands_for_all_that_it_has_seen(folder: Path, tiny_backbone: Backbone, change: str) -> None:
    head, passage = some_ids(6, 1), some_ids(9, 2)
    PrefixStore(tiny_backbone, folder=folder).get(passage, (head,))
    store = PrefixStore(tiny_backbone, folder=folder)
    asked: dict[str, Any] = {
        "ids": (some_ids(9, 3), (head,)),
        "before": (passage, (some_ids(6, 4),)),
        "cut elsewhere": (passage[1:], ((*head, passage[0]),)),
        "nothing": (passage, (head,)),
    }
    store.get(*asked[change])
    assert (store.computed_tokens == 0) == (change == "nothing")


def test_a_folder_that_cannot_be_written_is_still_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    DiskStore(folder, 10**6).put("entry", ENTRY)
    DiskStore(folder, 10**6).put("damaged", ENTRY)
    (folder / "damaged.safetensors").write_bytes(b"")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("read-only file system")

    monkeypatch.setattr(os, "utime", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    store = DiskStore(folder, 10**6)
    assert torch.equal(store.get("entry"), ENTRY)  # type: ignore[arg-type]
    assert store.get("damaged") is None


def test_a_folder_that_cannot_be_made_costs_the_cache_alone(
    folder: Path, caplog: pytest.LogCaptureFixture, tiny_backbone: Backbone
) -> None:
    folder.write_text("a file where the folder of the cache should be")
    store = PrefixStore(tiny_backbone, folder=folder)
    entries = [store.get(some_ids(6, seed)) for seed in (1, 2)]
    assert [torch.equal(store.get(some_ids(6, seed)), entry) for seed, entry in ((1, entries[0]), (2, entries[1]))]
    (message,) = [record.getMessage() for record in caplog.records]
    assert str(folder) in message
    assert "Not a directory" in message


def test_a_folder_that_cannot_be_listed_counts_as_empty(
    tmp_path: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    DiskStore(folder, 10**6).put("entry", ENTRY)
    with read_only(folder.parent):
        assert torch.equal(DiskStore(folder, 10**6).get("entry"), ENTRY)  # type: ignore[arg-type]
        assert not DiskStore(folder, 10**6).put("another", ENTRY)
    (tmp_path / "elsewhere").mkdir()
    folder.chmod(0)
    with read_only(tmp_path / "elsewhere"):
        store = DiskStore(folder, 10**6)
        assert store.get("entry") is None
        assert store.total_bytes == 0
    folder.chmod(0o755)
    assert ["Permission denied" in record.getMessage() for record in caplog.records] == [True, True]


def test_without_a_temporary_folder_entries_are_computed_again(
    tmp_path: Path, tiny_backbone: Backbone, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    store = PrefixStore(tiny_backbone, memory_bytes=1)
    first = store.get(some_ids(6, 1)).clone()
    assert torch.equal(store.get(some_ids(6, 1)), first)
    assert store.computed_tokens == 12
    assert len(caplog.records) == 1


def test_scratch_files_of_dead_writers_are_removed(folder: Path) -> None:
    assert DiskStore(folder, 10**6).put("kept", ENTRY)
    old, new = folder / "a.12.tmp", folder / "b.13.tmp"
    for file in (old, new):
        file.write_bytes(b"half")
    os.utime(old, (0, 0))
    assert DiskStore(folder, 10**6).get("kept") is not None
    assert sorted(file.name for file in folder.iterdir()) == ["b.13.tmp", "kept.safetensors"]
