"""Checksums of rows: SQLite keeps none, and a bit that flips inside a text leaves a text."""

from __future__ import annotations

import json
import sqlite3
import zlib


class DamagedRowError(sqlite3.DatabaseError):
    """A row is not what was written; what reads it turns this into an IndexDamagedError."""


def row_checksum(*values: object) -> int:
    """CRC-32 of the columns of a row, of whatever type a damage has made them."""
    return zlib.crc32(json.dumps(values, default=repr).encode())
