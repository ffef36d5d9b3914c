"""The files of a docs folder: which are read, which are skipped, and which cannot be reached."""

from __future__ import annotations

import errno
import os
import stat
from collections import Counter, deque
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from retrieval.conversion.convert import IMAGE_SUFFIXES, SUFFIXES, source_name
from retrieval.errors import ConversionError, NoDocumentsError


def find_files(docs: Path, *, follow_links: bool = False, images: bool = False) -> FolderFiles:
    """All files below `docs` except hidden ones, and image files only with `images`.

    Links that leave the folder are reported and not read, since they may lead to any file of this machine; with
    `follow_links` they are followed, each folder once.

    Raises NoDocumentsError if there is no file to read.
    """
    files = walk_files(docs, follow_links=follow_links, images=images)
    if not files.files:
        raise NoDocumentsError(
            found="; ".join(reason for _, reason in files.failed)
            or (f"there is no document in {docs}" if docs.is_dir() else f"there is no folder {docs}"),
            expected=f"files with one of the suffixes {' '.join(files.suffixes)}",
            next_step=f"put documents into {docs} and ingest again; the index is unchanged",
        )
    return files


def walk_files(docs: Path, *, follow_links: bool = False, images: bool = False) -> FolderFiles:
    """`find_files` for a folder that may be empty or missing."""
    files = FolderFiles(docs, follow_links, images)
    files.walk()
    return files


class FolderFiles:
    """Files to read in order, names of skipped files with an unsupported suffix, and failed names with the reason."""

    def __init__(self, docs: Path, follow_links: bool = False, images: bool = False) -> None:
        self.suffixes = (*SUFFIXES, *(IMAGE_SUFFIXES if images else ()))
        self.files: list[Path] = []
        self.skipped: list[str] = []
        self.failed: list[tuple[str, str]] = []
        self._docs = docs
        self._follow_links = follow_links
        self._seen: set[tuple[int, int]] = set()
        self._links: deque[Path] = deque()

    def walk(self) -> None:
        if not self._docs.is_dir():
            return
        # A link to a parent folder would lead back here, and to files that are not documents.
        self._seen.update(_identity(parent) for parent in self._docs.resolve().parents)
        self._walk_below(self._docs)
        # Links come last, so that a folder inside gets its own name and not that of a link.
        while self._links:
            link = self._links.popleft()
            if self._is_new(link):
                self._walk_below(link)

    def _walk_below(self, top: Path) -> None:
        for folder, subfolders, names in os.walk(top, onerror=self._unreadable):
            here = Path(folder)
            self._seen.add(_identity(here))
            subfolders[:] = [name for name in sorted(subfolders) if self._enters(here / name)]
            for name in sorted(names):
                if not name.startswith(".") and self._has_valid_name(here / name):
                    self._add(here / name)

    def _enters(self, folder: Path) -> bool:
        if folder.name.startswith(".") or not self._has_valid_name(folder):
            return False
        if folder.is_symlink():
            if not self._leaves(folder):
                self._links.append(folder)
            return False
        return self._is_new(folder)

    def _leaves(self, link: Path) -> bool:
        """Whether a link leads outside the folder, and is not to be followed; it is reported then."""
        if self._follow_links:
            return False
        try:
            target = link.resolve(strict=True)
        except (OSError, RuntimeError):
            # Broken and circular links lead nowhere; Python raises either error for the latter.
            return False
        if target.is_relative_to(self._docs.resolve()):
            return False
        next_step = "copy what it links to; `ingest.follow_links: true` in domain.yaml follows links in docs/"
        self._fail(link, "links to a place outside the docs folder", "links within the folder", next_step)
        return True

    def _is_new(self, folder: Path) -> bool:
        try:
            new = _identity(folder) not in self._seen
        except OSError as error:
            self._unreadable(error)
            return False
        if not new:
            found = "leads to a folder that is read already, or that contains this one"
            self._fail(folder, found, "links to outside folders, each once", "remove the link")
        return new

    def _add(self, path: Path) -> None:
        supported = path.suffix.lower() in self.suffixes
        if path.suffix and not supported:
            self.skipped.append(source_name(path, self._docs))
            return
        try:
            mode = path.stat().st_mode
        except OSError as error:
            if path.is_symlink():
                found = "is a circular link" if error.errno == errno.ELOOP else "is a broken link"
                self._fail(path, found, "a link to an existing file or folder", "remove or correct the link")
            else:
                self._unreadable(error)
            return
        if not supported:
            self.skipped.append(source_name(path, self._docs))
        elif path.is_symlink() and self._leaves(path):
            return
        elif stat.S_ISREG(mode):
            self.files.append(path)
        else:
            self._fail(path, "is not a regular file", "a file that contains a document", "remove it")

    def _has_valid_name(self, path: Path) -> bool:
        try:
            path.name.encode("utf-8")
        except UnicodeEncodeError:
            self._fail(path, "has a name that is not UTF-8", "names that every system can show", "rename it")
            return False
        return True

    def _unreadable(self, error: OSError) -> None:
        path = Path(os.fsdecode(error.filename)) if error.filename is not None else self._docs
        found = f"cannot be read ({error.strerror or error})"
        self._fail(path, found, "an existing, readable folder or file", "check its permissions")

    def _fail(self, path: Path, found: str, expected: str, next_step: str) -> None:
        # Bytes that are not UTF-8 are shown as "\xe9".
        name = os.fsencode(source_name(path, self._docs)).decode("utf-8", "backslashreplace")
        error = ConversionError(found=f"{name} {found}", expected=expected, next_step=next_step)
        self.failed.append((name, str(error)))


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def by_suffix(names: Iterable[str]) -> dict[str, int]:
    """How many files have each suffix, in lower case; the most frequent one first, and "" for none."""
    return dict(Counter(PurePosixPath(name).suffix.lower() for name in names).most_common())
