"""How long a caller waits for what another thread or process holds, and who holds it."""

from __future__ import annotations

import os
from pathlib import Path

# Maximum wait for a turn in progress, or for another program that writes to the database.
WAIT_SECONDS = 30.0
_STATES = {"T": ", stopped", "t": ", stopped by a debugger", "D": ", waiting for a device", "Z": ", ended"}
# Linux lists the locks of all processes here.
_LOCKS = Path("/proc/locks")


def holder_of(*files: Path) -> tuple[int, str] | None:
    """The process that locks one of these files for writing: its id, and a description such as "process 7 (python)".

    None if there is none, or if the operating system does not say. Locks of this process itself are ignored.
    """
    inodes = {status.st_ino for status in map(_status, files) if status is not None}
    for fields in _locks():
        # A line: 1: FLOCK ADVISORY WRITE 4711 fe:00:2146812 0 EOF. A waiting process has an arrow before its kind.
        if len(fields) < 6 or fields[3] != "WRITE" or not fields[4].isdigit():
            continue
        pid, inode = int(fields[4]), fields[5].rpartition(":")[2]
        if pid not in (0, os.getpid()) and inode.isdigit() and int(inode) in inodes:
            return pid, f"process {pid}{_program(pid)}"
    return None


def _status(file: Path) -> os.stat_result | None:
    try:
        return file.stat()
    except OSError:
        return None


def _locks() -> list[list[str]]:
    try:
        return [line.split() for line in _LOCKS.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return []


def _program(pid: int) -> str:
    """The name of a process and its state; not its command line, which may contain a question."""
    try:
        # A line: 4711 (python) T 4700 ...; the name may contain brackets and spaces.
        name, _, rest = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")
    except OSError:
        return ""
    return f" ({name.partition('(')[2]}{_STATES.get(rest.split()[0], '')})"
