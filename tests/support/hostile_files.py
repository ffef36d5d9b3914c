"""What somebody may put in the place of a file of a model or an adapter, and a process that loads such folders."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path


def pipe(path: Path) -> None:
    """A pipe, whose opening waits for the other end."""
    path.unlink()
    os.mkfifo(path)


def endless(path: Path) -> None:
    """A link to a device that never ends."""
    path.unlink()
    path.symlink_to("/dev/zero")


def sparse(path: Path) -> None:
    """A file that says to have a terabyte."""
    with path.open("ab") as file:
        file.truncate(2**40)


def huge_header(path: Path) -> None:
    """A file of safetensors whose header says to have half a terabyte, in a file that says so too."""
    path.write_bytes((2**39).to_bytes(8, "little"))
    sparse(path)


def loaded_apart(code: str, folders: Iterable[Path], mark: Path, seconds: float) -> list[tuple[str, str, str]]:
    """Run code that loads each folder, in a process whose standard input says yes to every question.

    The code prints a JSON list of folder, loader and outcome per line. Fails if a question was asked, or if code of a
    folder has run, which writes the file `mark`.
    """
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, *map(str, folders)],
        input="y\n" * 50,
        capture_output=True,
        text=True,
        timeout=seconds,
        env={**os.environ, "MARK": str(mark), "HF_HOME": str(mark.with_name("home")), "HF_HUB_OFFLINE": "1"},
    )
    assert not mark.exists(), done.stdout
    assert done.returncode == 0, done.stderr
    assert "[y/N]" not in done.stdout + done.stderr
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]
