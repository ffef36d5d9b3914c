"""A flipped bit in the database is detected when a row is read."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from retrieval import Encoder, IndexDamagedError, PassageStore, ingest, open_index
from retrieval.store.schema import MIGRATIONS, migrate, row_checksum

STATEMENTS = {
    "a text": "UPDATE passages SET text = replace(text, '120', '121')",
    "a heading": "UPDATE passages SET heading = 'Other' WHERE doc_id = 'disputes'",
    "a span": "UPDATE passages SET start = start + 1",
    "a page": "UPDATE passages SET page = 7",
    "a number that became a text": "UPDATE passages SET start = CAST('x' AS BLOB)",
}


def change(index_dir: Path, statement: str) -> None:
    with closing(sqlite3.connect(index_dir / "index.sqlite", isolation_level=None)) as connection:
        connection.execute(statement)


@pytest.mark.parametrize("what", STATEMENTS)
def test_a_changed_passage_is_refused(docs: Path, index_dir: Path, encoder: Encoder, what: str) -> None:
    ingest(docs, index_dir, encoder)
    change(index_dir, STATEMENTS[what])
    with open_index(index_dir, encoder) as index:
        reads: list[Callable[[], object]] = [
            lambda: index.search("How long may I dispute a card payment?"),
            lambda: index.document_passages(["disputes"]),
            lambda: list(index.passages()),
        ]
        for read in reads:
            with pytest.raises(IndexDamagedError, match=r"passage '[0-9a-f]{16}' does not match its checksum"):
                read()


def test_a_changed_document_is_refused(docs: Path, index_dir: Path, encoder: Encoder) -> None:
    ingest(docs, index_dir, encoder)
    change(index_dir, "UPDATE documents SET text = replace(text, '120', '121')")
    with open_index(index_dir, encoder) as index:
        assert index.document("zh").text.startswith("信用卡")
        with pytest.raises(IndexDamagedError, match="'disputes' does not match its checksum"):
            index.document("disputes")


def test_a_passage_without_its_vector_is_refused(docs: Path, index_dir: Path, encoder: Encoder) -> None:
    ingest(docs, index_dir, encoder)
    with PassageStore.open(index_dir / "index.sqlite") as store:
        numbers = store.passage_numbers()
        assert len(store.vectors_by_number([*numbers, 10_000])) == len(numbers)
        change(index_dir, f"UPDATE vectors SET number = 9999 WHERE number = {numbers[2]}")
        for read in (lambda: store.vectors_by_number(numbers), lambda: store.vectors_after(0)):
            with pytest.raises(IndexDamagedError):
                read()


@pytest.mark.parametrize("key", ["generation", "dimension"])
@pytest.mark.parametrize(("value", "shown"), [("'1:'", "'1:'"), ("x'31'", "b'1'")])
def test_an_invalid_number_is_refused(
    docs: Path, index_dir: Path, encoder: Encoder, key: str, value: str, shown: str
) -> None:
    ingest(docs, index_dir, encoder)
    change(index_dir, f"UPDATE meta SET value = {value} WHERE key = '{key}'")
    with pytest.raises(IndexDamagedError, match=f"the {key} is {shown}"), open_index(index_dir, encoder) as index:
        index.search("card")


def test_text_that_is_not_utf8_is_damage(docs: Path, index_dir: Path, encoder: Encoder) -> None:
    ingest(docs, index_dir, encoder)
    change(index_dir, "UPDATE documents SET text = CAST(x'ff41' AS TEXT)")
    with open_index(index_dir, encoder) as index, pytest.raises(IndexDamagedError, match="decode"):
        index.document("disputes")


def test_rows_of_an_older_format_get_checksums(docs: Path, index_dir: Path, encoder: Encoder) -> None:
    ingest(docs, index_dir, encoder)
    added = next(number for number, one in enumerate(MIGRATIONS) if any("row_checksum" in part for part in one))
    with open_index(index_dir, encoder) as index:
        # An older format does not say how a text is written.
        documents = [replace(index.document(name), writing="markdown") for name in index.document_ids()]
        passages = [replace(one, markup="markdown") for one in index.passages()]
    with closing(sqlite3.connect(index_dir / "index.sqlite", isolation_level=None)) as connection:
        connection.execute("ALTER TABLE documents DROP COLUMN row_checksum")
        connection.execute("ALTER TABLE passages DROP COLUMN row_checksum")
        for table, column in (("documents", "writing"), ("documents", "marks"), ("passages", "markup")):
            connection.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        connection.execute(f"PRAGMA user_version = {added}")
        migrate(connection, "index.sqlite")
    with open_index(index_dir, encoder) as index:
        assert [index.document(name) for name in index.document_ids()] == documents
        assert list(index.passages()) == passages


def test_checksums_distinguish_types_and_positions() -> None:
    rows = [(1, "a"), ("1", "a"), ("a", 1), (None, "a"), ("1a",), (b"1", "a")]
    assert len({row_checksum(*row) for row in rows}) == len(rows)
    # Existing files contain it, so it must never change.
    assert row_checksum("Gebühr", 3, None) == zlib.crc32(b'["Geb\\u00fchr", 3, null]')
