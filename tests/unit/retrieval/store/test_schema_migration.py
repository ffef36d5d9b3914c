"""A database of an older format is migrated without loss."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np

from retrieval import PassageStore, ingest, open_index
from retrieval.encoders.encoder import Encoder
from retrieval.store.schema import APPLICATION_ID, FORMAT_VERSION, MIGRATIONS

TABLES = ("documents", "passages", "vectors", "passages_fts")


def as_format_1(path: Path) -> None:
    """Copy the contents of an index into a database of the first format."""
    new = sqlite3.connect(path, isolation_level=None)
    old = sqlite3.connect(path.with_name("old.sqlite"), isolation_level=None)
    for statement in MIGRATIONS[0]:
        old.execute(statement)
    for table in TABLES:
        columns = [row[1] for row in old.execute(f"PRAGMA table_info({table})")]
        columns = ["rowid", *columns] if table == "passages_fts" else columns
        marks = ", ".join("?" * len(columns))
        rows = new.execute(f"SELECT {', '.join(columns)} FROM {table}").fetchall()
        old.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)
    known = "'encoder', 'dimension', 'generation'"
    meta = new.execute(f"SELECT key, value FROM meta WHERE key IN ({known})").fetchall()
    old.executemany("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", meta)
    old.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    old.execute("PRAGMA user_version = 1")
    old.close()
    new.close()
    for name in ("", "-wal", "-shm"):
        path.with_name(path.name + name).unlink(missing_ok=True)
    path.with_name("old.sqlite").rename(path)


def test_a_database_of_format_1_is_migrated(docs: Path, index_dir: Path, encoder: Encoder) -> None:
    ingest(docs, index_dir, encoder)
    path = index_dir / "index.sqlite"
    with open_index(index_dir, encoder) as index:
        expected = index.search("dispute a card payment", 10)
    as_format_1(path)
    with PassageStore.open(path) as store:
        assert store.binding.content == "documents"
        assert store.counts() == (3, 6)
        with store.reading() as connection:
            assert connection.execute("PRAGMA user_version").fetchone() == (FORMAT_VERSION,)
            assert connection.execute("SELECT DISTINCT metadata FROM passages").fetchall() == [("{}",)]
    with open_index(index_dir, encoder) as index:
        results = index.search("dispute a card payment", 10)
        # The older format does not say how a text is written.
        assert [one.passage for one in results] == [replace(one.passage, markup="markdown") for one in expected]
        np.testing.assert_allclose([one.dense for one in results], [one.dense for one in expected], atol=1e-6)
    assert ingest(docs, index_dir, encoder).unchanged == 3


def test_words_of_an_older_format_are_indexed_anew(docs: Path, index_dir: Path, encoder: Encoder) -> None:
    (docs / "hi.txt").write_text("# पुस्तकालय\n\nपानी ठंडा है और 年费.\n", encoding="utf-8")
    ingest(docs, index_dir, encoder)
    path = index_dir / "index.sqlite"
    as_format_1(path)
    old = sqlite3.connect(path, isolation_level=None)
    # What the rules of the time made of it.
    old.execute("DELETE FROM passages_fts")
    old.execute("INSERT INTO passages_fts (rowid, text) SELECT number, text FROM passages")
    assert old.execute("SELECT 1 FROM passages_terms WHERE term = 'पानी'").fetchone() is None
    old.close()
    with open_index(index_dir, encoder) as index:
        for query in ("पानी", "पुस्तकालय", "年费", "dispute", "Disputes"):
            assert index.search(query, 1, weights=(0.0, 1.0))[0].coverage == 1.0
    with PassageStore.open(path) as store, store.reading() as connection:
        terms = connection.execute("SELECT term, doc, cnt FROM passages_terms ORDER BY term").fetchall()
        rows = connection.execute("SELECT * FROM passages_fts ORDER BY rowid").fetchall()
    for document in docs.rglob("*.*"):
        document.write_text(document.read_text("utf-8") + "\n", encoding="utf-8")
    ingest(docs, index_dir, encoder)
    with PassageStore.open(path) as store, store.reading() as connection:
        assert connection.execute("SELECT term, doc, cnt FROM passages_terms ORDER BY term").fetchall() == terms
        assert sorted(connection.execute("SELECT * FROM passages_fts")) == sorted(rows)


def test_arabic_words_of_format_6_are_found_in_every_spelling(docs: Path, index_dir: Path, encoder: Encoder) -> None:
    (docs / "ar.txt").write_text("مستشفى المدينة في أوروبا\n", encoding="utf-8")
    ingest(docs, index_dir, encoder)
    path = index_dir / "index.sqlite"
    old = sqlite3.connect(path, isolation_level=None)
    # What the rules of the time made of it.
    old.execute("DELETE FROM passages_fts")
    old.execute("INSERT INTO passages_fts (rowid, text) SELECT number, text FROM passages")
    old.execute("PRAGMA user_version = 6")
    old.close()
    with open_index(index_dir, encoder) as index:
        for query in ("مستشفي", "مستشفى", "اوروبا", "أوروبا", "dispute"):
            assert index.search(query, 1, weights=(0.0, 1.0))[0].coverage == 1.0
