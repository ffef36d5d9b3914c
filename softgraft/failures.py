"""What the operating system and the parsers of other libraries raise, as errors of this project.

Code that knows more about a failure raises a better error of its own. The rest ends here: a full disk, a folder without
permission, a name that is too long, text that is not UTF-8. Anything else is a bug, whose traceback is wanted.
"""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path

from softgraft.errors import SoftgraftError, StorageError, UsageError
from softgraft.settings.location import DOMAINS

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_NEVER_A_NAME = (errno.ENAMETOOLONG, errno.EILSEQ, errno.ELOOP)
# Enough to recognise a name by.
_SHOWN = 120


def known_error(error: Exception) -> SoftgraftError | None:
    """The error of this project that a failure of the operating system or a parser amounts to; None for a bug."""
    if isinstance(error, OSError):
        return _os_error(error)
    if isinstance(error, UnicodeError):
        return UsageError(
            found=f"text that is not valid UTF-8: {_text_problem(error)}",
            expected="arguments, files and standard input in UTF-8",
            next_step="convert the text to UTF-8, and run the command again",
        )
    if isinstance(error, ValueError) and "embedded null" in str(error):
        return UsageError(
            found="a path that contains the character NUL",
            expected="a path without it",
            next_step="correct the path, and run the command again",
        )
    if isinstance(error, RecursionError):
        return UsageError(
            found="a file with values nested too deeply to read",
            expected="at most a few hundred levels",
            next_step="make the file flatter, and run the command again",
        )
    if isinstance(error, MemoryError):
        return StorageError(
            found="too little memory",
            expected="free memory for the models and the files",
            next_step="close other programs, or choose a smaller backbone, and run the command again",
        )
    if isinstance(error, sqlite3.Error):
        return StorageError(
            found=f"a database cannot be read or written: {error}",
            expected="a readable file, on a disk with free space",
            next_step="free some disk space if there is little, and run: softgraft doctor",
        )
    if isinstance(error, json.JSONDecodeError) or _is_foreign(error, "yaml", "YAMLError"):
        return UsageError(
            found=f"a file that cannot be parsed: {_shortened(str(error))}",
            expected="the format that the documentation names",
            next_step="correct the file, and run the command again",
        )
    if _is_foreign(error, "safetensors", "SafetensorError"):
        return StorageError(
            found=f"a file of tensors cannot be read or written: {_shortened(str(error))}",
            expected="an undamaged file, on a disk with free space",
            next_step="free some disk space if there is little, and run: softgraft doctor",
        )
    return None


def output_error(error: OSError) -> SoftgraftError:
    """The error for output that cannot be written, such as to a file on a full disk."""
    return StorageError(
        found=f"standard output cannot be written: {_reason(error)}",
        expected="an output that takes what the command prints",
        next_step="free some space, or write to another file, and run the command again",
    )


def require_text(arguments: Sequence[str]) -> None:
    """Refuse arguments that are not text. A path may have any name that a file has.

    Raises:
        UsageError: if an argument is not UTF-8, or contains NUL.
    """
    for argument in arguments:
        if "\0" in argument:
            problem = "contains the character NUL"
        elif not _is_utf8(argument) and not _names_a_file(argument):
            problem = "is not UTF-8"
        else:
            continue
        raise UsageError(
            found=f"the argument {_shortened(argument)!r} {problem}",
            expected="arguments in UTF-8, without NUL",
            next_step="correct the argument; if it is right, set the terminal to UTF-8",
        )


def _os_error(error: OSError) -> SoftgraftError:
    reason = _reason(error)
    if error.errno in _FULL:
        return StorageError(
            found=f"the disk is full: {reason}",
            expected="free disk space, and files that may grow",
            next_step="free some space, and run the command again; everything that was saved before is kept",
        )
    if error.errno in _FORBIDDEN:
        return StorageError(
            found=f"no permission: {reason}",
            expected="files and folders that you may read and write",
            next_step="change the permissions, or choose another folder, and run the command again",
        )
    if error.errno in _NEVER_A_NAME:
        return UsageError(
            found=f"not the name of a file: {reason}",
            expected="names of at most 255 bytes, that lead to a file",
            next_step="correct the name, and run the command again",
        )
    return StorageError(
        found=f"a file operation failed: {reason}",
        expected="files and folders that exist and can be used",
        next_step="check the path, and run the command again",
    )


def _reason(error: OSError) -> str:
    name = error.filename
    where = f"{_shortened(os.fsdecode(name))}: " if isinstance(name, (str, bytes, os.PathLike)) else ""
    return f"{where}{error.strerror or error}"


def _text_problem(error: UnicodeError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"byte 0x{error.object[error.start]:02x} at {error.start}"
    if isinstance(error, UnicodeEncodeError):
        return f"U+{ord(error.object[error.start]):04X} at {error.start}"
    return str(error)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _names_a_file(argument: str) -> bool:
    name = argument.partition("=")[2] if argument.startswith("--") else argument
    return bool(name) and any(os.path.lexists(path) for path in (Path(name), DOMAINS / name))


def _is_foreign(error: Exception, module: str, name: str) -> bool:
    """Whether it is an error of a library, which is not imported for the question."""
    error_class = getattr(sys.modules.get(module), name, None)
    return isinstance(error_class, type) and isinstance(error, error_class)


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"
