"""The replies of a teacher behind an API, so that each question is paid for once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chains.speakers.listed_replies import ListedReply


class TaughtFile:
    """A JSON line per reply. A line that is cut off or damaged is passed over: its question is asked again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._replies: dict[str, ListedReply] | None = None

    @staticmethod
    def key(teacher: str, messages: Sequence[tuple[str, Any]]) -> str:
        """Identifies what a teacher was asked: its name, and the role and content of each message."""
        return hashlib.sha256(json.dumps([teacher, messages]).encode()).hexdigest()

    def read(self) -> dict[str, ListedReply]:
        """The replies by key."""
        if self._replies is None:
            self._replies = {}
            lines = self.path.read_bytes().splitlines() if self.path.is_file() else []
            for line in lines:
                entry = _entry(line)
                if entry is not None:
                    self._replies[entry[0]] = entry[1]
        return self._replies

    def add(self, key: str, reply: ListedReply) -> None:
        """Append a reply."""
        self.read()[key] = reply
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # The newline comes first, in case the last line is cut off.
        with self.path.open("ab") as file:
            file.write(b"\n" + json.dumps({"key": key, **reply.as_json(), "check": _check(key, reply)}).encode())


def _entry(line: bytes) -> tuple[str, ListedReply] | None:
    try:
        row = json.loads(line)
        key, reply = row["key"], ListedReply.from_json(row)
        return (key, reply) if row["check"] == _check(key, reply) else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _check(key: str, reply: ListedReply) -> str:
    return hashlib.sha256(json.dumps([key, reply.as_json()], sort_keys=True).encode()).hexdigest()[:16]
