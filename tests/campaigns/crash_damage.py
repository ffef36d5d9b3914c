"""Damage to index files: flipped bits, truncation, mixed-up and replaced files, at seeded positions."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from crash_truth import DATABASE, FAISS

Damage = Callable[[Path, random.Random], str]


@dataclass(frozen=True)
class Sources:
    """Index folders whose files can be mixed in.

    Attributes:
        older: an earlier revision of the same index.
        other: an index of other documents.
        unfinished: an ingest killed when everything was in the write-ahead log.
    """

    older: Path
    other: Path
    unfinished: Path


def file_damages(name: str) -> list[Damage]:
    """Damage to the bytes of one file."""

    def truncated(folder: Path, seeded: random.Random) -> str:
        data = (folder / name).read_bytes()
        end = seeded.randrange(len(data))
        (folder / name).write_bytes(data[:end])
        return f"cut at {end}"

    def cut_short(folder: Path, seeded: random.Random) -> str:
        data = (folder / name).read_bytes()
        by = 1 + seeded.randrange(min(64, len(data)))
        (folder / name).write_bytes(data[:-by])
        return f"cut by {by}"

    def flipped(folder: Path, seeded: random.Random) -> str:
        data = bytearray((folder / name).read_bytes())
        places = [(seeded.randrange(len(data)), seeded.randrange(8)) for _ in range(seeded.choice((1, 1, 2, 8)))]
        for place, bit in places:
            data[place] ^= 1 << bit
        (folder / name).write_bytes(data)
        return f"flipped {places}"

    def header(folder: Path, seeded: random.Random) -> str:
        data = bytearray((folder / name).read_bytes())
        place, width = seeded.randrange(96), seeded.choice((1, 4, 8))
        number = seeded.choice((0, 1, (1 << 8 * width) - 1, 1 << (8 * width - 1), seeded.getrandbits(8 * width)))
        data[place : place + width] = number.to_bytes(width, "little")
        (folder / name).write_bytes(data)
        return f"{number} in {width} bytes at {place}"

    def blank(folder: Path, seeded: random.Random) -> str:
        data = bytearray((folder / name).read_bytes())
        size = seeded.choice((512, 4096))
        place = seeded.randrange(max(1, len(data) // size)) * size
        end = min(len(data), place + size)
        data[place:end] = bytes([seeded.choice((0, 255))]) * (end - place)
        (folder / name).write_bytes(data)
        return f"blank from {place} to {end}"

    def shuffled(folder: Path, seeded: random.Random) -> str:
        data = (folder / name).read_bytes()
        pages = [data[first : first + 4096] for first in range(0, len(data), 4096)]
        one, two = seeded.sample(range(len(pages)), 2) if len(pages) > 1 else (0, 0)
        pages[one], pages[two] = pages[two], pages[one]
        if one == two:
            pages = [data[1:], data[:1]]
        (folder / name).write_bytes(b"".join(pages))
        return f"pages {one} and {two} exchanged"

    def longer(folder: Path, seeded: random.Random) -> str:
        more = seeded.randbytes(1 + seeded.randrange(5000))
        with (folder / name).open("ab") as file:
            file.write(more)
        return f"{len(more)} bytes longer"

    return [truncated, cut_short, flipped, flipped, header, blank, shuffled, longer]


def replacements(name: str) -> list[Damage]:
    """Replacement of a file by something that is not an index."""

    def empty(folder: Path, seeded: random.Random) -> str:
        (folder / name).write_bytes(b"")
        return "empty"

    def missing(folder: Path, seeded: random.Random) -> str:
        (folder / name).unlink()
        return "missing"

    def noise(folder: Path, seeded: random.Random) -> str:
        size = seeded.randrange(1, 9000)
        (folder / name).write_bytes(seeded.randbytes(size))
        return f"{size} bytes of noise"

    def directory(folder: Path, seeded: random.Random) -> str:
        (folder / name).unlink()
        (folder / name).mkdir()
        if seeded.random() < 0.5:
            (folder / name / "file").write_text("text", encoding="utf-8")
        return "a folder"

    def dangling(folder: Path, seeded: random.Random) -> str:
        (folder / name).unlink()
        (folder / name).symlink_to(folder / seeded.choice(("nothing", name)))
        return "a link to nothing"

    def neighbour(folder: Path, seeded: random.Random) -> str:
        shutil.copy(folder / ({DATABASE, FAISS} - {name}).pop(), folder / name)
        return "the neighbour's bytes"

    return [empty, missing, noise, directory, dangling, neighbour]


def mixtures(sources: Sources) -> list[Damage]:
    """Valid files of another revision or another index."""

    def stale_file(folder: Path, seeded: random.Random) -> str:
        source = seeded.choice((sources.older, sources.other))
        shutil.copy(source / FAISS, folder / FAISS)
        return f"the FAISS file of {source.name}"

    def stale_database(folder: Path, seeded: random.Random) -> str:
        shutil.copy(sources.older / DATABASE, folder / DATABASE)
        return "the database of an older revision"

    def foreign_record(folder: Path, seeded: random.Random) -> str:
        source = seeded.choice((sources.older, sources.other))
        with_file = source == sources.older and seeded.random() < 0.5
        with closing(sqlite3.connect(source / DATABASE)) as connection:
            rows = connection.execute("SELECT key, value FROM meta WHERE key LIKE 'faiss%'").fetchall()
        _set_record(folder, rows)
        if with_file:
            shutil.copy(source / FAISS, folder / FAISS)
        return f"the record of {source.name}" + " with its file" * with_file

    def changed_record(folder: Path, seeded: random.Random) -> str:
        rows = _record(folder)
        key, value = seeded.choice(rows)
        data = bytearray(value.encode())
        digits = [place for place, byte in enumerate(data) if chr(byte).isdigit()]
        place = seeded.choice(digits) if seeded.random() < 0.7 else seeded.randrange(len(data))
        data[place] ^= 1 << seeded.randrange(4)
        _set_record(folder, [(key, data.decode())])
        return f"record {key}: {data.decode()}"

    def lost_record(folder: Path, seeded: random.Random) -> str:
        key, _ = seeded.choice(_record(folder))
        with closing(sqlite3.connect(folder / DATABASE, isolation_level=None)) as connection:
            connection.execute("DELETE FROM meta WHERE key = ?", (key,))
        return f"no record {key}"

    return [stale_file, stale_database, foreign_record, changed_record, changed_record, lost_record]


def log_damages(sources: Sources) -> list[Damage]:
    """Damage to the write-ahead log that a killed ingest leaves."""

    def with_log(damage: Damage) -> Damage:
        def damaged(folder: Path, seeded: random.Random) -> str:
            for file in sources.unfinished.iterdir():
                shutil.copy(file, folder / file.name)
            return "log " + damage(folder, seeded)

        return damaged

    return [with_log(damage) for damage in file_damages(f"{DATABASE}-wal")]


def _record(folder: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(folder / DATABASE)) as connection:
        rows = connection.execute("SELECT key, value FROM meta WHERE key LIKE 'faiss%' ORDER BY key").fetchall()
    assert rows, "the database has no record of the FAISS file"
    return rows


def _set_record(folder: Path, rows: list[tuple[str, str]]) -> None:
    with closing(sqlite3.connect(folder / DATABASE, isolation_level=None)) as connection:
        connection.executemany("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", rows)
