"""Scratch folders beside what is written, and their removal after the process that made them was killed.

A process holds a lock on its scratch folder. Whoever gets the lock of a scratch folder knows that its process is gone.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MARK = "softgraft-"


@contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """A new folder beside `path`, removed when the context ends. Those of killed processes for `path` are removed too.

    Raises:
        OSError: if the folder cannot be made.
    """
    remove_abandoned(path)
    folder, lock = _locked_folder(path)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _locked_folder(path: Path) -> tuple[Path, int | None]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_prefix(path), dir=path.parent))
        try:
            lock = _lock(folder)
        except BlockingIOError:
            # Another process is about to remove it.
            continue
        if folder.is_dir():
            return folder, lock
        # Another process removed it before it was locked.
        if lock is not None:
            os.close(lock)


def remove_abandoned(path: Path) -> None:
    """Remove the scratch folders for `path` whose processes are gone. Does nothing where folders have no locks."""
    for folder in path.parent.iterdir():
        if not folder.name.startswith(_prefix(path)) or folder.is_symlink() or not folder.is_dir():
            continue
        try:
            lock = _lock(folder)
        except BlockingIOError:
            continue
        if lock is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def _prefix(path: Path) -> str:
    return f".{path.name}-{_MARK}"


def _lock(folder: Path) -> int | None:
    """A descriptor that holds the lock of a folder; None if there are no locks, or no such folder.

    Raises:
        BlockingIOError: if another process holds it.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise
        # Some network file systems have no locks.
        return None
    return descriptor
