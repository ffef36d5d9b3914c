"""The passage store: atomic documents, checksums, formats."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from retrieval import (
    Document,
    Encoder,
    IndexDamagedError,
    IndexMismatchError,
    NotIngestedError,
    Passage,
    PassageStore,
    RetrievalError,
    UnknownDocumentError,
    ingest,
    open_index,
    split_document,
)
from retrieval.store.schema import FORMAT_VERSION


def document(text: str) -> Document:
    return Document("d", "Title", text, "g", "d.md", "0" * 64, "text/1", (0, 3))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PassageStore]:
    with PassageStore.open(tmp_path / "index.sqlite", create=True) as opened:
        opened.bind_encoder("e", 4)
        yield opened


def write(store: PassageStore, text: str, encoder: Encoder) -> list[Passage]:
    passages = split_document(document(text), encoder.count_tokens)
    store.replace_document(document(text), "s", passages, np.eye(len(passages), 4, dtype=np.float32))
    return passages


def test_a_document_round_trips(store: PassageStore, encoder: Encoder) -> None:
    passages = write(store, "One.\n\n# Two\n\nThree.", encoder)
    assert store.document("d") == document("One.\n\n# Two\n\nThree.")
    assert list(store.passages_by_number(store.passage_numbers()).values()) == passages
    assert store.revision == 1
    with pytest.raises(UnknownDocumentError, match="there is no document 'x'"):
        store.document("x")


def test_a_failed_transaction_leaves_the_old_document(store: PassageStore, encoder: Encoder) -> None:
    old = write(store, "Old text.", encoder)
    new = document("New text. New text.")
    (passage,) = split_document(new, encoder.count_tokens)
    twice = [passage, passage]  # the second insert breaks the uniqueness of ids
    with pytest.raises(RetrievalError, match="SQLite failed on"):
        store.replace_document(new, "s", twice, np.eye(2, 4, dtype=np.float32))
    assert store.document("d").text == "Old text."
    assert list(store.passages_by_id([old[0].id]).values()) == old
    assert store.revision == 1
    with store.reading() as connection:
        matches = "SELECT count(*) FROM passages_fts WHERE passages_fts MATCH ?"
        assert connection.execute(matches, ("old",)).fetchone() == (1,)
        assert connection.execute(matches, ("new",)).fetchone() == (0,)


def test_inconsistent_parts_are_refused(store: PassageStore, encoder: Encoder) -> None:
    passages = split_document(document("Some text."), encoder.count_tokens)
    with pytest.raises(ValueError, match="vectors"):
        store.replace_document(document("Some text."), "s", passages, np.zeros((1, 5), np.float32))
    with pytest.raises(ValueError, match="not a span"):
        store.replace_document(document("Other text."), "s", passages, np.zeros((1, 4), np.float32))


def test_deleting_removes_all_rows(store: PassageStore, encoder: Encoder) -> None:
    write(store, "Some text.", encoder)
    assert store.delete_document("d")
    assert not store.delete_document("d")
    with store.reading() as connection:
        for table in ("documents", "passages", "vectors", "passages_fts"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def test_open_creates_nothing(tmp_path: Path) -> None:
    path = tmp_path / "none" / "index.sqlite"
    with pytest.raises(NotIngestedError):
        PassageStore.open(path)
    assert not path.parent.exists()


def test_a_newer_format_is_refused(docs: Path, index_dir: Path, encoder: Encoder) -> None:
    ingest(docs, index_dir, encoder)
    connection = sqlite3.connect(index_dir / "index.sqlite")
    connection.execute(f"PRAGMA user_version = {FORMAT_VERSION + 1}")
    connection.close()
    with pytest.raises(IndexMismatchError, match=f"has format {FORMAT_VERSION + 1}"):
        open_index(index_dir, encoder)


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    with pytest.raises(IndexDamagedError, match="another program"):
        PassageStore.open(path, create=True)
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]
    connection.close()


def test_a_damaged_vector_is_detected(docs: Path, index_dir: Path, encoder: Encoder) -> None:
    ingest(docs, index_dir, encoder)
    connection = sqlite3.connect(index_dir / "index.sqlite")
    connection.execute("UPDATE vectors SET vector = zeroblob(length(vector)) WHERE number = 1")
    connection.commit()
    connection.close()
    (index_dir / "index.faiss").unlink()
    with pytest.raises(IndexDamagedError, match="does not match its checksum"):
        open_index(index_dir, encoder)


def test_the_format_is_written_durably(store: PassageStore) -> None:
    with store.reading() as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.execute("PRAGMA user_version").fetchone() == (FORMAT_VERSION,)
