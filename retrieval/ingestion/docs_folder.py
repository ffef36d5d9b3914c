"""The files of a docs folder: which are read, which are passed over, and which cannot be reached."""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from retrieval.conversion.convert import SUFFIXES, source_name
from retrieval.errors import ConversionError, NoDocumentsError


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """`files` to read, in order; names of the `skipped`, of formats that nothing here reads; what `failed`, and why."""

    files: tuple[Path, ...]
    skipped: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]


def find_files(docs: Path) -> FoundFiles:
    """Every file below `docs` but hidden ones. Links to folders outside are followed, each folder once.

    Raises NoDocumentsError where there is no file to read.
    """
    found = walk_files(docs)
    if not found.files:
        raise NoDocumentsError(
            found="; ".join(why for _, why in found.failed)
            or (f"there is no document in {docs}" if docs.is_dir() else f"there is no folder {docs}"),
            expected=f"files with one of the suffixes {' '.join(SUFFIXES)}",
            next_step=f"put documents into {docs} and ingest again; the index is as it was",
        )
    return found


def walk_files(docs: Path) -> FoundFiles:
    """`find_files` for a folder that may be empty, or not there."""
    walk = _Walk(docs)
    walk.run()
    return FoundFiles(tuple(walk.files), tuple(walk.skipped), tuple(walk.failed))


@dataclass
class _Walk:
    docs: Path
    files: list[Path] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    _seen: set[tuple[int, int]] = field(default_factory=set)
    _links: deque[Path] = field(default_factory=deque)

    def run(self) -> None:
        if not self.docs.is_dir():
            return
        # A link to a folder above would lead back here, and to files that are no documents.
        self._seen.update(_identity(above) for above in self.docs.resolve().parents)
        self._descend(self.docs)
        # Links come last, so that a folder inside is known by its own name and not by a link's.
        while self._links:
            link = self._links.popleft()
            if self._is_new(link):
                self._descend(link)

    def _descend(self, top: Path) -> None:
        for folder, below, names in os.walk(top, onerror=self._unreadable):
            here = Path(folder)
            self._seen.add(_identity(here))
            below[:] = [name for name in sorted(below) if self._enters(here / name)]
            for name in sorted(names):
                if not name.startswith(".") and self._can_be_named(here / name):
                    self._take(here / name)

    def _enters(self, folder: Path) -> bool:
        if folder.name.startswith(".") or not self._can_be_named(folder):
            return False
        if folder.is_symlink():
            self._links.append(folder)
            return False
        return self._is_new(folder)

    def _is_new(self, folder: Path) -> bool:
        try:
            new = _identity(folder) not in self._seen
        except OSError as error:
            self._unreadable(error)
            return False
        if not new:
            self._fail(
                folder,
                found="leads to a folder that is read already, or that holds this one",
                expected="links to folders outside, each once",
                next_step="remove the link",
            )
        return new

    def _take(self, path: Path) -> None:
        known = path.suffix.lower() in SUFFIXES
        if path.suffix and not known:
            self.skipped.append(source_name(path, self.docs))
            return
        try:
            mode = path.stat().st_mode
        except OSError as error:
            if path.is_symlink():
                round_ = error.errno == errno.ELOOP
                self._fail(
                    path,
                    found="is a link that leads round to itself" if round_ else "is a link to nothing",
                    expected="a link to a file or folder that is there",
                    next_step="remove the link, or mend it",
                )
            else:
                self._unreadable(error)
            return
        if not known:
            self.skipped.append(source_name(path, self.docs))
        elif stat.S_ISREG(mode):
            self.files.append(path)
        else:
            self._fail(
                path, found="is no regular file", expected="a file with a document in it", next_step="take it out"
            )

    def _can_be_named(self, path: Path) -> bool:
        try:
            path.name.encode("utf-8")
        except UnicodeEncodeError:
            self._fail(
                path,
                found="has a name that is not UTF-8",
                expected="names that every system can show",
                next_step="rename it",
            )
            return False
        return True

    def _unreadable(self, error: OSError) -> None:
        path = Path(os.fsdecode(error.filename)) if error.filename is not None else self.docs
        self._fail(
            path,
            found=f"cannot be read ({error.strerror or error})",
            expected="a folder or file that is there and readable",
            next_step="check its permissions",
        )

    def _fail(self, path: Path, *, found: str, expected: str, next_step: str) -> None:
        name = _shown(source_name(path, self.docs))
        error = ConversionError(found=f"{name} {found}", expected=expected, next_step=next_step)
        self.failed.append((name, str(error)))


def _identity(folder: Path) -> tuple[int, int]:
    """What a folder is, whatever path leads there."""
    status = folder.stat()
    return status.st_dev, status.st_ino


def _shown(name: str) -> str:
    """A name that can be printed and stored: bytes that are no UTF-8 as "\\xe9"."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
