"""What `softgraft doctor` reports: one line per thing it looked at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from softgraft.errors import KNOWN
from softgraft.failures import known_error

State = Literal["ok", "note", "broken"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that was looked at.

    Attributes:
        state: `note` works, but could be better; `broken` does not work.
        fix: what to do about it; None if it is well.
    """

    name: str
    value: str
    state: State = "ok"
    fix: str | None = None


def examined(name: str, look: Callable[[], Finding]) -> Finding:
    """The finding of `look`, or what the error says that it raises. A bug is raised."""
    try:
        return look()
    except Exception as error:
        known = error if isinstance(error, KNOWN) else known_error(error)
        if known is None:
            raise
        # All of them have these two.
        return Finding(name, str(vars(known)["found"]), "broken", str(vars(known)["next_step"]))


def gibibytes(size: float) -> str:
    """A size in words: `3.2 GiB`, `270 MiB`."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"


def folder_bytes(folder: Path) -> int:
    """Size of the files below a folder; those that vanish meanwhile count nothing."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_size if path.is_file() else 0
        except OSError:
            continue
    return total
