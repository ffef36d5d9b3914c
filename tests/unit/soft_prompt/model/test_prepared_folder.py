"""The copy of the embedded backbone when several processes start at the same time."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from soft_prompt.model import weights


def test_one_caller_unpacks_and_the_others_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conversions: list[Path] = []

    def convert(_gguf: Path, folder: Path) -> None:
        conversions.append(folder)
        folder.mkdir()
        time.sleep(0.2)
        (folder / "model.safetensors").write_bytes(b"weights")

    def first_use(_caller: int) -> int:
        return (weights.prepared_folder() / "model.safetensors").stat().st_ino

    monkeypatch.setenv("SOFTGRAFT_CACHE", str(tmp_path))
    monkeypatch.setattr(weights, "find_gguf", lambda: tmp_path / "model.gguf")
    monkeypatch.setattr(weights, "_convert_gguf", convert)
    with ThreadPoolExecutor(4) as callers:
        inodes = set(callers.map(first_use, range(4)))

    # A second conversion would replace the files that the first caller already reads.
    assert len(conversions) == 1
    assert inodes == {(weights.prepared_path() / "model.safetensors").stat().st_ino}
