"""SHA-256 digests of weight files, computed once per file and remembered in the cache folder.

Hashing the embedded backbone means reading 540 MB, which every command would pay for before it starts. So
`<cache>/digests.json` keeps each file's digest with the size, modification time and inode that it was computed for.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from soft_prompt.files import write_bytes

# A file changed again within one tick of its file system's clock keeps its modification time, so the digest of a file
# that was written just now is not remembered. Two seconds is FAT's tick, the coarsest in use.
_SETTLED_NS = 2 * 10**9


def cache_folder() -> Path:
    """`$SOFTGRAFT_CACHE`, else `$XDG_CACHE_HOME/softgraft`, else `~/.cache/softgraft`."""
    if own := os.environ.get("SOFTGRAFT_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "softgraft"


def sha256_file(path: Path) -> str:
    """SHA-256 of a file as hexadecimal digits. Reads the whole file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cached_sha256(paths: Iterable[Path]) -> dict[Path, str]:
    """SHA-256 of each file. Reads only files that are new or changed since their digest was remembered.

    A missing, damaged or unwritable record costs time, never correctness.
    """
    record = cache_folder() / "digests.json"
    entries = _read(record)
    digests, computed = {}, {}
    for path in paths:
        key, identity = str(path.resolve()), _identity(path)
        entry = entries.get(key)
        if isinstance(entry, dict) and isinstance(entry.get("sha256"), str) and identity.items() <= entry.items():
            digests[path] = entry["sha256"]
            continue
        digests[path] = sha256_file(path)
        if identity == _identity(path) and time.time_ns() - identity["mtime_ns"] > _SETTLED_NS:
            computed[key] = {**identity, "sha256": digests[path]}
    if computed:
        _write(record, computed)
    return digests


def _identity(path: Path) -> dict[str, int]:
    status = path.stat()
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns, "inode": status.st_ino}


def _read(record: Path) -> dict[str, Any]:
    try:
        entries = json.loads(record.read_bytes())
    except (OSError, ValueError):
        return {}
    return entries if isinstance(entries, dict) else {}


def _write(record: Path, computed: dict[str, dict[str, int | str]]) -> None:
    # Another process may have added entries meanwhile. Those of deleted files are dropped. If two processes write at
    # the same time, the record is made again.
    entries = {key: entry for key, entry in _read(record).items() if Path(key).exists()} | computed
    with contextlib.suppress(OSError):
        record.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(record, json.dumps(entries, indent=1).encode())
