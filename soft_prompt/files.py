"""Folders and files that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from soft_prompt.errors import ArtifactError


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A scratch folder beside `folder`, which takes its name once everything in it is written.

    Args:
        folder: what it will be called; it does not exist yet, or is empty.

    Raises:
        ArtifactError: something stands there already, or it cannot be written; then nothing is left behind.
    """
    with _scratch(folder) as scratch:
        fresh = scratch / "fresh"
        fresh.mkdir()
        yield fresh
        fresh.replace(folder)


@contextmanager
def new_file(file: Path) -> Iterator[Path]:
    """A scratch file beside `file`, which takes its name once it is written; the rest as in `new_folder`."""
    with _scratch(file) as scratch:
        fresh = scratch / "fresh"
        yield fresh
        with fresh.open("rb") as written:
            os.fsync(written.fileno())
        fresh.replace(file)


@contextmanager
def _scratch(path: Path) -> Iterator[Path]:
    scratch = None
    try:
        empty = path.is_dir() and not path.is_symlink() and not any(path.iterdir())
        if not empty and (path.exists() or path.is_symlink()):
            raise ArtifactError(
                found=f"{path} exists and is not an empty folder",
                expected="a place where nothing stands, since nothing is ever written over",
                next_step="choose another one with --out, or move that one away",
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
        yield scratch
    except (OSError, SafetensorError) as error:
        raise ArtifactError(
            found=f"{path} cannot be written: {error}",
            expected="a place that you may write to, on a disk with room",
            next_step="choose another one with --out, or free some space",
        ) from error
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file so that it is either the old one or the whole new one."""
    scratch = path.with_name(f".{path.name}.tmp")
    try:
        with scratch.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
