"""Files and folders that only their owner can read, under any umask."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from soft_prompt.files import write_bytes
from soft_prompt.private_files import close_to_others, new_private_file, private_file, private_folder


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o777], autouse=True)
def _umask(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_folder_is_private_with_the_parents_that_were_missing(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    private_folder(tmp_path / "a" / "b" / "c")
    assert [mode(tmp_path / name) for name in ("a", "a/b", "a/b/c")] == [0o700] * 3
    (tmp_path / "a").chmod(0o750)
    private_folder(tmp_path / "a" / "b")
    # What exists keeps its mode.
    assert (mode(tmp_path), mode(tmp_path / "a")) == (0o755, 0o750)


def test_a_file_in_place_of_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("", encoding="utf-8")
    for folder in (tmp_path / "a", tmp_path / "a" / "b"):
        with pytest.raises(OSError, match="a"):
            private_folder(folder)


def test_a_file_is_created_private_or_closed_to_others(tmp_path: Path) -> None:
    file = tmp_path / "memory"
    private_file(file)
    assert (mode(file), file.read_bytes()) == (0o600, b"")
    file.write_bytes(b"kept")
    file.chmod(0o666)
    private_file(file)
    assert (mode(file), file.read_bytes()) == (0o600, b"kept")
    # The owner's rights stay as they are.
    file.chmod(0o444)
    private_file(file)
    assert mode(file) == 0o400
    close_to_others(tmp_path / "missing")
    assert not (tmp_path / "missing").exists()


def test_a_new_text_file_is_private_and_overwrites_nothing(tmp_path: Path) -> None:
    file = tmp_path / "anna.md"
    with new_private_file(file) as page:
        assert mode(file) == 0o600
        page.write("“120 days”\n")
    assert file.read_text(encoding="utf-8") == "“120 days”\n"
    with pytest.raises(FileExistsError):
        new_private_file(file)


def test_a_file_that_is_replaced_keeps_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "scores.json"
    write_bytes(file, b"old")
    file.chmod(0o600)
    write_bytes(file, b"new")
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"new", 0o600)
    assert [one.name for one in tmp_path.iterdir()] == ["scores.json"]
