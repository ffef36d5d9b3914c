"""Wait for changes in a docs folder by polling, which works on every operating system and network file system."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from retrieval.conversion.convert import source_name
from retrieval.ingestion.docs_folder import walk_files

INTERVAL_SECONDS = 1.0

# File name below the folder -> size, modification times and inode.
Snapshot = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one file."""

    kind: Literal["added", "changed", "removed"]
    name: str


def snapshot(docs: Path, *, follow_links: bool = False, images: bool = False) -> Snapshot:
    """The state of all files that an ingest reads or reports as unreadable."""
    walked = walk_files(docs, follow_links=follow_links, images=images)
    state: dict[str, tuple[int, ...]] = {name: () for name, _ in walked.failed}
    for path in walked.files:
        try:
            status = path.stat()
        except OSError:
            # Removed since the folder was listed.
            continue
        state[source_name(path, docs)] = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
    return state


def changes(before: Snapshot, after: Snapshot) -> list[Change]:
    """The changes between two snapshots, sorted by name."""
    removed = [Change("removed", name) for name in before.keys() - after.keys()]
    added = [Change("added", name) for name in after.keys() - before.keys()]
    changed = [Change("changed", name) for name in before.keys() & after.keys() if after[name] != before[name]]
    return sorted([*removed, *added, *changed], key=lambda change: change.name)


def wait_for_changes(docs: Path, before: Snapshot, *, follow_links: bool = False, images: bool = False) -> list[Change]:
    """Return the changes once the folder differs from `before` and has not changed for a second."""
    last = snapshot(docs, follow_links=follow_links, images=images)
    while True:
        time.sleep(INTERVAL_SECONDS)
        now = snapshot(docs, follow_links=follow_links, images=images)
        if now == last and now != before:
            return changes(before, now)
        last = now
