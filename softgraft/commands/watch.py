"""A docs folder watched for changes by looking at it again and again, which works on every system and file system."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from retrieval.conversion.convert import source_name
from retrieval.ingestion.docs_folder import walk_files

INTERVAL_SECONDS = 1.0

# Name of a file below the folder -> size, times and inode, which a change leaves as they are only by design.
Snapshot = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to one file."""

    kind: Literal["added", "changed", "removed"]
    name: str


def snapshot(docs: Path) -> Snapshot:
    """The state of all files that an ingest would read, and of what it cannot read."""
    found = walk_files(docs)
    state: dict[str, tuple[int, ...]] = {name: () for name, _ in found.failed}
    for path in found.files:
        try:
            status = path.stat()
        except OSError:
            # Gone between the two looks: as if it had not been there at the first.
            continue
        state[source_name(path, docs)] = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
    return state


def changes(before: Snapshot, after: Snapshot) -> list[Change]:
    """By name."""
    found = [Change("removed", name) for name in before if name not in after]
    found += [Change("added", name) for name in after if name not in before]
    found += [Change("changed", name) for name in after if name in before and after[name] != before[name]]
    return sorted(found, key=lambda change: change.name)


def wait_for_changes(
    docs: Path,
    before: Snapshot,
    *,
    interval: float = INTERVAL_SECONDS,
    sleep: Callable[[float], None] | None = None,
) -> tuple[list[Change], Snapshot]:
    """Returns once the folder differs from `before` and has come to rest for `interval` seconds."""
    last = snapshot(docs)
    while True:
        (sleep or time.sleep)(interval)
        now = snapshot(docs)
        if now == last and (found := changes(before, now)):
            return found, now
        last = now
