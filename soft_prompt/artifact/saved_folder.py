"""How one version of a saved soft prompt replaces another while others read the folder.

`manifest.json` names the tensors by their digest, so replacing it switches to the next version. The files of the next
version are written before, under names with that digest, and take the plain names after it. Readers write nothing, and
a save that is killed leaves one complete version.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from soft_prompt.files import write_bytes
from soft_prompt.foreign_files import read_regular

MANIFEST = "manifest.json"
VECTORS = "soft_prompt.safetensors"
TEMPLATE = "template.yaml"


def current_folder(folder: Path) -> Path:
    """The folder with the files: another one if an earlier version of Softgraft was killed while it saved."""
    old = folder.with_name(f".{folder.name}.old")
    return old if old.is_dir() and not folder.exists() else folder


def current_file(folder: Path, name: str, digest: str) -> Path:
    """The file of the version whose tensors have this digest, if that version is still the current one."""
    new = _next_file(folder, name, digest)
    return new if new.exists() else folder / name


def read_current(folder: Path, name: str, digest: str, limit: int) -> bytes:
    """The content of `current_file`, which may get its plain name in this moment.

    Raises:
        ForeignFileError: if it is no regular file, or larger than `limit` bytes.
        OSError: if it cannot be read.
    """
    try:
        return read_regular(_next_file(folder, name, digest), limit)
    except FileNotFoundError:
        return read_regular(folder / name, limit)


def write_version(
    folder: Path, files: Mapping[str, bytes], manifest: bytes, digest: str, current: Callable[[], str]
) -> None:
    """Write a version: `files` by name, and the manifest that names the tensors by `digest`.

    `current` reads the digest in the present manifest; empty if there is none.

    Raises:
        OSError: if a file cannot be written. The previous version stays.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _one_writer(folder.parent):
        previous, new = current_folder(folder), folder.with_name(f".{folder.name}.new")
        if previous != folder:
            previous.rename(folder)
        for leftover in (new, folder.with_name(f".{folder.name}.old")):
            shutil.rmtree(leftover, ignore_errors=True)
        if not folder.exists():
            new.mkdir()
            for name, data in {**files, MANIFEST: manifest}.items():
                write_bytes(new / name, data)
            new.rename(folder)
            return
        _remove_leftovers(folder, current())
        for name, data in files.items():
            write_bytes(_next_file(folder, name, digest), data)
        write_bytes(folder / MANIFEST, manifest)
        # From here on the new version is the current one.
        for name in files:
            _next_file(folder, name, digest).replace(folder / name)
        if TEMPLATE not in files:
            (folder / TEMPLATE).unlink(missing_ok=True)


def _next_file(folder: Path, name: str, digest: str) -> Path:
    path = folder / name
    return path.with_name(f"{path.stem}.{digest[:16]}{path.suffix}")


def _remove_leftovers(folder: Path, current: str) -> None:
    """Finish a save that was killed after its switch, and remove what one left that was killed before."""
    for name in (VECTORS, TEMPLATE):
        path = folder / name
        for left in sorted(folder.glob(f"{path.stem}.*{path.suffix}")):
            if left == _next_file(folder, name, current):
                left.replace(path)
            elif left != path:
                left.unlink()
    for scratch in folder.glob(".*.tmp"):
        with suppress(OSError):
            scratch.unlink()


@contextmanager
def _one_writer(parent: Path) -> Iterator[None]:
    """Wait until no other process saves beside. The lock belongs to the folder, so that no file is left behind."""
    try:
        import fcntl
    except ImportError:  # Windows: two processes that train one domain at once are not supported there.
        yield
        return
    descriptor = os.open(parent, os.O_RDONLY)
    try:
        # Some network file systems have no locks.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
