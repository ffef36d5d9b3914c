"""Files and folders that only their owner can read, whatever the umask is: they hold people's questions and answers."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TextIO

_FOLDER_MODE = 0o700
_FILE_MODE = 0o600


def private_folder(folder: Path) -> None:
    """Create a folder, and its missing parents, with mode 0700. A folder that exists keeps its mode.

    Raises:
        OSError: if a folder cannot be created, or the path is a file.
    """
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    for parent in reversed(missing):
        try:
            parent.mkdir(mode=_FOLDER_MODE)
        except FileExistsError:
            # Another process created it meanwhile.
            continue
        parent.chmod(_FOLDER_MODE)
    if not folder.is_dir():
        raise NotADirectoryError(20, "Not a directory", str(folder))


def private_file(file: Path) -> None:
    """Create an empty file with mode 0600 if it does not exist, and close an existing one to other users.

    A file of another user keeps its mode.

    Raises:
        OSError: if the file cannot be created.
    """
    try:
        descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR, _FILE_MODE)
    except FileExistsError:
        close_to_others(file)
        return
    os.close(descriptor)
    # The umask may have removed the owner's rights too.
    file.chmod(_FILE_MODE)


def close_to_others(file: Path) -> None:
    """Take the rights of group and others from a file that exists and belongs to this user."""
    try:
        status = file.stat()
    except FileNotFoundError:
        return
    if status.st_mode & 0o077 and status.st_uid == os.geteuid():
        file.chmod(stat.S_IMODE(status.st_mode) & 0o700)


def new_private_file(file: Path) -> TextIO:
    """Open a new UTF-8 text file with mode 0600 for writing.

    Raises:
        FileExistsError: if the file exists.
        OSError: if it cannot be created.
    """
    descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _FILE_MODE)
    file.chmod(_FILE_MODE)
    return os.fdopen(descriptor, "w", encoding="utf-8")
