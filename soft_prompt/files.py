"""Folders and files that are written atomically."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError

from soft_prompt.errors import ArtifactError
from soft_prompt.scratch import scratch_folder


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A scratch folder beside `folder` that is renamed to it when the context ends without an error.

    Raises:
        ArtifactError: if `folder` exists and is not empty, or cannot be written. Nothing is left behind then.
    """
    with _scratch(folder) as scratch:
        fresh = scratch / "fresh"
        fresh.mkdir()
        yield fresh
        fresh.replace(folder)


@contextmanager
def new_file(file: Path) -> Iterator[Path]:
    """A scratch file beside `file` that is renamed to it in the same way as in `new_folder`."""
    with _scratch(file) as scratch:
        fresh = scratch / "fresh"
        yield fresh
        with fresh.open("rb") as written:
            os.fsync(written.fileno())
        fresh.replace(file)


@contextmanager
def _scratch(path: Path) -> Iterator[Path]:
    try:
        empty = path.is_dir() and not path.is_symlink() and not any(path.iterdir())
        if not empty and (path.exists() or path.is_symlink()):
            raise ArtifactError(
                found=f"{path} exists and is not an empty folder",
                expected="a path that does not exist, since nothing is ever overwritten",
                next_step="choose another one with --out, or move that one away",
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        with scratch_folder(path) as scratch:
            yield scratch
    except (OSError, SafetensorError) as error:
        raise ArtifactError(
            found=f"{path} cannot be written: {error}",
            expected="a path that you may write to, on a disk with free space",
            next_step="choose another one with --out, or free some space",
        ) from error


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically: after a crash it is the old or the new one. A file that exists keeps its mode.

    Writers of the same file must take turns: they use the same scratch file, so that a killed one leaves a single one.
    """
    scratch = path.with_name(f".{path.name}.tmp")
    try:
        with scratch.open("wb") as file:
            with suppress(FileNotFoundError):
                os.fchmod(file.fileno(), path.stat().st_mode & 0o777)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    finally:
        # On a disk that has become read-only this fails too. The caller learns of the first error.
        with suppress(OSError):
            scratch.unlink()
