"""The database schema as numbered migrations. A released migration is never edited, only followed by another."""

from __future__ import annotations

import json
import sqlite3
import zlib

from retrieval.errors import IndexDamagedError, IndexMismatchError
from retrieval.store.terms import TOKENIZER, searchable

# "SGFT": marks a SQLite file as a database of this package.
APPLICATION_ID = 0x53474654

# The full-text table anew, by other rules for words. It holds nothing that the passages do not.
_NEW_WORDS = (
    "DROP TABLE passages_terms",
    "DROP TABLE passages_fts",
    f'''CREATE VIRTUAL TABLE passages_fts USING fts5 (
        title, heading, text, bigrams, tokenize = "{TOKENIZER}"
    )''',
    "CREATE VIRTUAL TABLE passages_terms USING fts5vocab (passages_fts, 'row')",
    """INSERT INTO passages_fts (rowid, title, heading, text, bigrams)
        SELECT number, words(title), words(heading), words(text),
            bigrams(title) || ' ' || bigrams(heading) || ' ' || bigrams(text)
        FROM passages""",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
        "INSERT INTO meta (key, value) VALUES ('generation', '0')",
        """CREATE TABLE documents (
            id TEXT PRIMARY KEY,
            title TEXT NOT NULL,
            text TEXT NOT NULL,
            group_name TEXT NOT NULL,
            source TEXT NOT NULL,
            source_digest TEXT NOT NULL,
            converter TEXT NOT NULL,
            splitter TEXT NOT NULL,
            page_starts TEXT NOT NULL
        )""",
        "CREATE INDEX documents_by_source ON documents (source)",
        # AUTOINCREMENT: numbers are never reused, so a FAISS file cannot point to another passage than the one it
        # was built from.
        """CREATE TABLE passages (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            doc_id TEXT NOT NULL REFERENCES documents (id),
            title TEXT NOT NULL,
            heading TEXT NOT NULL,
            text TEXT NOT NULL,
            start INTEGER NOT NULL,
            end INTEGER NOT NULL,
            page INTEGER,
            embedded_digest TEXT NOT NULL
        )""",
        "CREATE INDEX passages_by_document ON passages (doc_id, start)",
        "CREATE INDEX passages_by_embedded_text ON passages (embedded_digest)",
        """CREATE TABLE vectors (
            number INTEGER PRIMARY KEY REFERENCES passages (number),
            vector BLOB NOT NULL,
            checksum INTEGER NOT NULL
        )""",
        """CREATE VIRTUAL TABLE passages_fts USING fts5 (
            title, heading, text, bigrams, tokenize = 'porter unicode61'
        )""",
        "CREATE VIRTUAL TABLE passages_terms USING fts5vocab (passages_fts, 'row')",
    ),
    (
        # Deleted passages that may still be in the FAISS file, in the order of deletion.
        "CREATE TABLE tombstones (place INTEGER PRIMARY KEY AUTOINCREMENT, number INTEGER NOT NULL)",
        "DELETE FROM meta WHERE key IN ('faiss_generation', 'faiss_digest')",
    ),
    (
        # Metadata is a JSON object. An index holds either documents, which an ingest adds and deletes with their
        # files, or records, each a document with one passage and its own metadata.
        "ALTER TABLE passages ADD COLUMN metadata TEXT NOT NULL DEFAULT '{}'",
        "INSERT INTO meta (key, value) VALUES ('content', 'documents')",
    ),
    (
        "ALTER TABLE documents ADD COLUMN row_checksum INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE passages ADD COLUMN row_checksum INTEGER NOT NULL DEFAULT 0",
        """UPDATE documents SET row_checksum = row_checksum(
            id, title, text, group_name, source, source_digest, converter, page_starts, splitter
        )""",
        """UPDATE passages SET row_checksum = row_checksum(
            id, doc_id, title, heading, text, start, end, page, embedded_digest, metadata
        )""",
    ),
    (*_NEW_WORDS,),
    (
        # How texts are written, and the headings, lists and tables that a converter recorded.
        "ALTER TABLE documents ADD COLUMN writing TEXT NOT NULL DEFAULT 'markdown'",
        "ALTER TABLE documents ADD COLUMN marks TEXT NOT NULL DEFAULT '[]'",
        "ALTER TABLE passages ADD COLUMN markup TEXT NOT NULL DEFAULT 'markdown'",
        """UPDATE documents SET row_checksum = row_checksum(
            id, title, text, group_name, source, source_digest, converter, page_starts, writing, marks, splitter
        )""",
        """UPDATE passages SET row_checksum = row_checksum(
            id, doc_id, title, heading, text, start, end, page, markup, embedded_digest, metadata
        )""",
    ),
    # Letters of Arabic, Persian and Urdu that are used for one another are equal, and 10⁵ is not 105.
    _NEW_WORDS,
)

FORMAT_VERSION = len(MIGRATIONS)


class DamagedRowError(sqlite3.DatabaseError):
    """A row is not what was written. `Database` translates this into an IndexDamagedError."""


def row_checksum(*values: object) -> int:
    """CRC-32 of the columns of a row, whatever types they have after damage. SQLite itself has no checksums."""
    return zlib.crc32(json.dumps(values, default=repr).encode())


def migrate(connection: sqlite3.Connection, name: str) -> None:
    """Migrate a database to the current format in one transaction.

    Raises IndexMismatchError if the format is newer, IndexDamagedError if it is another program's database.
    """
    version = _pragma(connection, "user_version")
    if version == FORMAT_VERSION:
        _check_owner(connection, name)
        return
    if version > FORMAT_VERSION:
        raise IndexMismatchError(
            found=f"{name} has format {version}",
            expected=f"format {FORMAT_VERSION} or older",
            next_step="upgrade softgraft, or delete the index and ingest again",
        )
    connection.create_function("row_checksum", -1, row_checksum, deterministic=True)
    connection.create_function("words", 1, lambda text: searchable(str(text))[0], deterministic=True)
    connection.create_function("bigrams", 1, lambda text: searchable(str(text))[1], deterministic=True)
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have migrated while this one waited for the lock.
        version = _pragma(connection, "user_version")
        if version > 0 or connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            _check_owner(connection, name)
        for statements in MIGRATIONS[version:]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _check_owner(connection: sqlite3.Connection, name: str) -> None:
    if _pragma(connection, "application_id") != APPLICATION_ID:
        raise IndexDamagedError(
            found=f"{name} is another program's database",
            expected="a softgraft index",
            next_step="move that file away and ingest again",
        )
