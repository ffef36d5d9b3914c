"""Points of a command at which it writes: files opened to write, renamed or removed, and statements of SQLite."""

from __future__ import annotations

import errno
import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod"}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def watch_writes(workplace: Path, event: Callable[[str], None], *, statements: bool = True) -> None:
    """From now on, call `event` with a description before each write of this process in the workplace.

    Files that libraries open without Python are not seen.
    """
    root = str(workplace.resolve())
    busy = False

    def seen(name: str, arguments: tuple[Any, ...]) -> None:
        nonlocal busy
        if busy or not (name == "open" or name in _CHANGES):
            return
        busy = True
        try:
            path = str(arguments[0]) if not isinstance(arguments[0], int) else ""
            if name == "open" and not _writes(arguments):
                return
            # Not resolved: that would follow the link that is about to be replaced.
            # Beside it, the campaign keeps the command's output.
            inside = os.path.abspath(path).startswith(f"{root}{os.sep}") if path else False  # noqa: PTH100
        finally:
            busy = False
        if inside:
            event(f"{name} {os.path.relpath(path, root)}")

    sys.addaudithook(seen)
    if statements:
        _watch_statements(root, event)


def _writes(arguments: tuple[Any, ...]) -> bool:
    mode, flags = arguments[1], arguments[2]
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return isinstance(flags, int) and bool(flags & _WRITING)


def _watch_statements(root: str, event: Callable[[str], None]) -> None:
    connect = sqlite3.connect

    def traced(*arguments: Any, **settings: Any) -> sqlite3.Connection:
        connection = connect(*arguments, **settings)
        name = str(arguments[0] if arguments else settings.get("database", ""))
        if ":memory:" not in name:
            connection.set_trace_callback(lambda statement: _written(statement, event))
        return connection

    sqlite3.connect = traced  # type: ignore[assignment]


def _written(statement: str, event: Callable[[str], None]) -> None:
    """Leave out what only reads. Statements of virtual tables on their own tables are comments in a trace."""
    words = statement.removeprefix("--").split()[:3]
    if words and words[0] != "SELECT" and "data_version" not in words[-1]:
        event(" ".join(words))


class Counter:
    """Counts events, and does something at one of them or from it on."""

    def __init__(self, at: int | None, act: Callable[[], None], *, onwards: bool = False) -> None:
        self.at = at
        self.act = act
        self.onwards = onwards
        self.places: list[str] = []

    def __call__(self, place: str) -> None:
        self.places.append(place)
        passed = len(self.places)
        if self.at is not None and (passed == self.at or (self.onwards and passed > self.at)):
            self.act()


def kill() -> None:
    """End this process at once, as a power failure would."""
    os.kill(os.getpid(), signal.SIGKILL)


def refuse(code: int) -> Callable[[], None]:
    """Fails as the operating system would with this error number."""

    def act() -> None:
        raise OSError(code, os.strerror(code))

    return act


FULL, READ_ONLY = errno.ENOSPC, errno.EROFS
