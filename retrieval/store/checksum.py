"""Checksums of rows. SQLite has none, and a flipped bit inside a text still leaves a valid text."""

from __future__ import annotations

import json
import sqlite3
import zlib


class DamagedRowError(sqlite3.DatabaseError):
    """A row is not what was written. `Database` translates this into an IndexDamagedError."""


def row_checksum(*values: object) -> int:
    """CRC-32 of the columns of a row, whatever types they have after damage."""
    return zlib.crc32(json.dumps(values, default=repr).encode())
