"""Digests of weight files: computed once, remembered in the cache folder, and computed again after a change."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from soft_prompt import Backbone
from soft_prompt.model.file_digests import cached_sha256, sha256_file


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder, which does not exist yet."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SOFTGRAFT_CACHE", str(folder))
    return folder


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files whose bytes are read for hashing."""
    names: list[str] = []
    real = hashlib.file_digest

    def spy(file: Any, *args: Any, **kwargs: Any) -> Any:
        names.append(Path(file.name).name)
        return real(file, *args, **kwargs)

    monkeypatch.setattr(hashlib, "file_digest", spy)
    return names


def age(*paths: Path) -> None:
    """Date files back by a minute, since digests of files that were written just now are not remembered."""
    for path in paths:
        moment = time.time() - 60
        os.utime(path, (moment, moment))


def written(path: Path, data: bytes = b"weights") -> Path:
    path.write_bytes(data)
    age(path)
    return path


def test_a_file_is_hashed_once(tmp_path: Path, cache: Path, hashed: list[str]) -> None:
    one, two = written(tmp_path / "one"), written(tmp_path / "two", b"other")
    first = cached_sha256([one, two])
    assert first == {one: hashlib.sha256(b"weights").hexdigest(), two: hashlib.sha256(b"other").hexdigest()}
    assert cached_sha256([two, one]) == first
    assert hashed == ["one", "two"]
    assert [path.name for path in cache.iterdir()] == ["digests.json"]


def test_loading_a_backbone_again_hashes_no_weights(
    tmp_path: Path, cache: Path, hashed: list[str], tiny_backbone: Backbone
) -> None:
    folder = tmp_path / "model"
    tiny_backbone.model.save_pretrained(folder)
    tiny_backbone.tokenizer.save_pretrained(folder)
    age(*folder.iterdir())
    first = Backbone.load(str(folder), dtype=torch.float32)
    assert hashed == ["model.safetensors"]
    assert Backbone.load(str(folder), dtype=torch.float32).digest == first.digest
    assert hashed == ["model.safetensors"]


def test_a_changed_file_is_hashed_again(tmp_path: Path, cache: Path) -> None:
    path = written(tmp_path / "weights")
    before = cached_sha256([path])
    path.write_bytes(b"WEIGHTS")
    assert cached_sha256([path]) == {path: sha256_file(path)} != before


def test_a_replaced_file_of_the_same_size_and_date_is_hashed_again(tmp_path: Path, cache: Path) -> None:
    path, other = written(tmp_path / "weights"), written(tmp_path / "other", b"WEIGHTS")
    cached_sha256([path])
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.replace(path)
    assert cached_sha256([path]) == {path: sha256_file(path)}


def test_a_file_that_was_written_just_now_is_not_remembered(tmp_path: Path, cache: Path, hashed: list[str]) -> None:
    # A second change within one tick of the file system's clock would not show in its modification time.
    path = tmp_path / "weights"
    path.write_bytes(b"weights")
    cached_sha256([path])
    cached_sha256([path])
    assert hashed == ["weights", "weights"]
    assert not cache.exists()


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"null", b"\xff", b'{"PATH": {"sha256": 1}}', b'{"PATH": 7}'])
def test_a_damaged_record_is_made_again(tmp_path: Path, cache: Path, hashed: list[str], damage: bytes) -> None:
    path = written(tmp_path / "weights")
    cache.mkdir()
    (cache / "digests.json").write_bytes(damage.replace(b"PATH", str(path).encode()))
    assert cached_sha256([path]) == {path: sha256_file(path)}
    hashed.clear()
    cached_sha256([path])
    assert hashed == []


def test_an_unwritable_cache_folder_costs_time_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = written(tmp_path / "file")
    monkeypatch.setenv("SOFTGRAFT_CACHE", str(blocked / "cache"))
    path = written(tmp_path / "weights")
    assert cached_sha256([path]) == {path: sha256_file(path)}


def test_entries_of_deleted_files_are_dropped(tmp_path: Path, cache: Path) -> None:
    old, new = written(tmp_path / "old"), written(tmp_path / "new")
    cached_sha256([old])
    old.unlink()
    cached_sha256([new])
    record = (cache / "digests.json").read_text()
    assert str(new) in record
    assert str(old) not in record
