"""Events of a run at which a failure can be injected: code lines, SQL statements, SQLite's system calls."""

from __future__ import annotations

import _sqlite3
import ctypes
import errno
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import retrieval

Event = Callable[[str], None]
EventKind = Literal["line", "statement", "system call", "torn write"]

_PACKAGE = Path(retrieval.__file__).parent
# The modules that write, or lead to writing; the others only compute.
_LINES_OF = ("database", "ingest", "batch_writer", "schema", "store", "document_rows", "meta_table", "faiss")


def watch(kind: EventKind, event: Event) -> None:
    """From now on, call `event` with the location before each event of a kind in this process."""
    match kind:
        case "line":
            _watch_lines(event)
        case "statement":
            _watch_statements(event)
        case "system call":
            SystemCalls().watch(lambda name, _: event(name))
        case "torn write":
            SystemCalls().watch(lambda name, tear: _torn(event, name, tear))


def _watch_lines(event: Event) -> None:
    wanted: dict[str, str | None] = {}

    def name_of(file: str) -> str | None:
        path = Path(file)
        return path.stem if _PACKAGE in path.parents and path.stem.startswith(_LINES_OF) else None

    def enter(frame: FrameType, what: str, _: Any) -> Any:
        file = frame.f_code.co_filename
        if file not in wanted:
            wanted[file] = name_of(file)
        return None if wanted[file] is None else step

    def step(frame: FrameType, what: str, _: Any) -> Any:
        if what == "line":
            event(f"{wanted[frame.f_code.co_filename]}:{frame.f_lineno}")
        return step

    sys.settrace(enter)


def _watch_statements(event: Event) -> None:
    connect = sqlite3.connect

    def traced(*arguments: Any, **settings: Any) -> sqlite3.Connection:
        connection = connect(*arguments, **settings)
        if str(arguments[0]) != ":memory:":
            connection.set_trace_callback(lambda statement: event(" ".join(statement.split()[:3])))
        return connection

    sqlite3.connect = traced


def _torn(event: Event, name: str, tear: Callable[[], None] | None) -> None:
    if tear is not None:
        # The event may kill this process, so half of the write is done first.
        tear()
        event(name)


class NonTransactional(sqlite3.Connection):
    """A connection that commits after every statement."""

    def execute(self, statement: str, *parameters: Any) -> sqlite3.Cursor:
        if statement == "BEGIN IMMEDIATE" or (statement in ("COMMIT", "ROLLBACK") and not self.in_transaction):
            statement = "SELECT 1"
        return super().execute(statement, *parameters)


def drop_transactions() -> None:
    """From now on, this process writes to SQLite without transactions."""
    connect = sqlite3.connect
    sqlite3.connect = lambda *arguments, **settings: connect(*arguments, **settings, factory=NonTransactional)


class _Vfs(ctypes.Structure):
    # sqlite3_vfs, version 3 (https://sqlite.org/c3ref/vfs.html)
    _fields_ = [
        *(("iVersion", ctypes.c_int), ("szOsFile", ctypes.c_int), ("mxPathname", ctypes.c_int)),
        *((name, ctypes.c_void_p) for name in ("pNext", "zName", "pAppData", "xOpen", "xDelete", "xAccess")),
        *((name, ctypes.c_void_p) for name in ("xFullPathname", "xDlOpen", "xDlError", "xDlSym", "xDlClose")),
        *((name, ctypes.c_void_p) for name in ("xRandomness", "xSleep", "xCurrentTime", "xGetLastError")),
        *((name, ctypes.c_void_p) for name in ("xCurrentTimeInt64", "xSetSystemCall", "xGetSystemCall")),
        ("xNextSystemCall", ctypes.c_void_p),
    ]


_SET = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
_GET = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)
_INT, _SIZE, _POINTER, _OFFSET = ctypes.c_int, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_int64
_CALLS: dict[str, Any] = {
    "open": ctypes.CFUNCTYPE(_INT, ctypes.c_char_p, _INT, _INT, use_errno=True),
    "ftruncate": ctypes.CFUNCTYPE(_INT, _INT, _OFFSET, use_errno=True),
    "write": ctypes.CFUNCTYPE(ctypes.c_ssize_t, _INT, _POINTER, _SIZE, use_errno=True),
    "pwrite": ctypes.CFUNCTYPE(ctypes.c_ssize_t, _INT, _POINTER, _SIZE, _OFFSET, use_errno=True),
    "pwrite64": ctypes.CFUNCTYPE(ctypes.c_ssize_t, _INT, _POINTER, _SIZE, _OFFSET, use_errno=True),
    "unlink": ctypes.CFUNCTYPE(_INT, ctypes.c_char_p, use_errno=True),
}
_kept: list[Any] = []


class FullDiskError(Exception):
    """Raised by an event so that a system call fails as on a full disk."""


class SystemCalls:
    """SQLite's own test hook: `xSetSystemCall` of its file system layer."""

    def __init__(self) -> None:
        library = ctypes.CDLL(_sqlite3.__file__)
        library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
        self._vfs = library.sqlite3_vfs_find(None)

    def watch(self, event: Callable[[str, Callable[[], None] | None], None]) -> None:
        """Before each call, `event(location, do_half)`; `do_half` is None for calls other than writes."""
        put, get = _SET(self._vfs.contents.xSetSystemCall), _GET(self._vfs.contents.xGetSystemCall)
        pointer = ctypes.cast(self._vfs, ctypes.c_void_p)
        for name, kind in _CALLS.items():
            address = get(pointer, name.encode())
            if address is None:
                continue
            wrapped = kind(_wrapped(name, kind(address), event))
            _kept.append(wrapped)
            assert put(pointer, name.encode(), ctypes.cast(wrapped, ctypes.c_void_p)) == 0


def _wrapped(name: str, original: Any, event: Callable[[str, Callable[[], None] | None], None]) -> Any:
    def called(first: Any, *rest: int) -> int:
        tear = None
        if "write" in name:
            tear = lambda: original(first, rest[0], rest[1] // 2, *rest[2:])  # noqa: E731
        try:
            event(f"{name} {_file_of(first)}", tear)
        except FullDiskError:
            ctypes.set_errno(errno.ENOSPC)
            return -1
        return int(original(first, *rest))

    return called


def _file_of(first: bytes | int) -> str:
    if isinstance(first, bytes):
        return Path(first.decode()).name
    descriptor = Path(f"/proc/self/fd/{first}")
    return descriptor.readlink().name if descriptor.is_symlink() else "file"
