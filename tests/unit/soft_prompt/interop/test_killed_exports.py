"""What a killed export leaves behind is removed by the next one to the same place, and nothing else is."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from oracle import some_soft_prompt

from soft_prompt import ArtifactError, Backbone
from soft_prompt.files import new_file, new_folder
from soft_prompt.interop.peft_export import export_peft
from soft_prompt.scratch import scratch_folder

# Left out of `make check`: it starts processes.
pytestmark = pytest.mark.heavy

# Writes for a while: standard output says that it has begun, and standard input that it may end.
WRITE = """
import sys
from pathlib import Path
from soft_prompt.files import new_file, new_folder
make, path = {"file": new_file, "folder": new_folder}[sys.argv[1]], Path(sys.argv[2])
with make(path) as scratch:
    (scratch / "half" if scratch.is_dir() else scratch).write_bytes(b"half")
    print("begun", flush=True)
    sys.stdin.readline()
"""


def writing(kind: str, path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", WRITE, kind, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


def beside(path: Path) -> list[str]:
    return sorted(one.name for one in path.parent.iterdir())


def export_after(path: Path, other_ends: Callable[[], object]) -> None:
    with new_folder(path) as scratch:
        (scratch / "ours").write_bytes(b"ours")
        other_ends()


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_the_next_export_removes_what_a_killed_one_left(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "out"
    process = writing(kind, path)
    process.kill()
    process.communicate()
    assert len(beside(path)) == 1
    make: Callable[..., object] = {"file": new_file, "folder": new_folder}[kind]
    with make(path) as scratch:  # type: ignore[attr-defined]
        (scratch / "whole" if scratch.is_dir() else scratch).write_bytes(b"whole")
    assert beside(path) == ["out"]


def test_an_export_in_progress_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "out"
    process = writing("folder", path)
    with pytest.raises(ArtifactError, match="not empty"):
        export_after(path, lambda: process.communicate("\n"))
    assert process.returncode == 0
    assert (path / "half").read_bytes() == b"half"
    assert beside(path) == ["out"]


def test_nothing_of_others_is_removed(tiny_backbone: Backbone, tmp_path: Path) -> None:
    (tmp_path / ".out-mine").mkdir()
    (tmp_path / ".other-softgraft-1").mkdir()
    (tmp_path / ".out-softgraft-file").write_text("a file")
    target = tmp_path / "target"
    target.mkdir()
    (tmp_path / ".out-softgraft-link").symlink_to(target)
    export_peft(tmp_path / "out", some_soft_prompt(tiny_backbone, 4, 1), tiny_backbone)
    kept = [".other-softgraft-1", ".out-mine", ".out-softgraft-file", ".out-softgraft-link", "out", "target"]
    assert beside(tmp_path / "out") == kept


def test_a_scratch_folder_that_another_process_removes_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_folder, locked = tempfile.mkdtemp, []

    def locked_by_another(**settings: Any) -> str:
        folder = make_folder(**settings)
        if not locked:
            locked.append(os.open(folder, os.O_RDONLY))
            fcntl.flock(locked[0], fcntl.LOCK_EX)
            taken.append(folder)
        return folder

    taken: list[str] = []
    monkeypatch.setattr(tempfile, "mkdtemp", locked_by_another)
    with scratch_folder(tmp_path / "out") as folder:
        assert str(folder) not in taken
    os.close(locked[0])


def test_a_scratch_folder_in_use_is_locked(tmp_path: Path) -> None:
    with scratch_folder(tmp_path / "out") as first, scratch_folder(tmp_path / "out") as second:
        assert first.is_dir()
        assert second.is_dir()
        assert first != second
    assert list(tmp_path.iterdir()) == []
