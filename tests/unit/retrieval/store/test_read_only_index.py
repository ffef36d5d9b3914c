"""An index in a folder that cannot be written: it is searched, and writing to it is a clear error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from retrieval import Encoder, ingest, open_index
from retrieval.encoders.kept_vectors import kept_vectors
from retrieval.errors import RetrievalError
from tests.support.read_only import read_only


def test_an_index_is_searched_where_nothing_can_be_written(docs: Path, index_dir: Path, encoder: Encoder) -> None:
    ingest(docs, index_dir, encoder)
    with open_index(index_dir, encoder) as index:
        expected = [found.passage.id for found in index.search("card abroad", 3)]
    for name in ("index.sqlite-wal", "index.sqlite-shm"):
        assert not (index_dir / name).exists()
    with read_only(index_dir), open_index(index_dir, encoder) as index:
        assert [found.passage.id for found in index.search("card abroad", 3)] == expected
    (index_dir / "index.faiss").unlink()
    with read_only(index_dir), open_index(index_dir, encoder) as index:
        # The FAISS index is made again in memory.
        assert [found.passage.id for found in index.search("card abroad", 3)] == expected


def test_an_ingest_there_says_that_it_cannot_write(docs: Path, index_dir: Path, encoder: Encoder) -> None:
    ingest(docs, index_dir, encoder)
    (docs / "new.md").write_text("New.")
    with read_only(index_dir), pytest.raises(RetrievalError, match="make the folder writable"):
        ingest(docs, index_dir, encoder)
    assert ingest(docs, index_dir, encoder).added == 1


def test_changes_that_wait_in_the_log_are_not_ignored(docs: Path, index_dir: Path, encoder: Encoder) -> None:
    ingest(docs, index_dir, encoder)
    # What a killed writer leaves: without its log the database would be an old one.
    (index_dir / "index.sqlite-wal").write_bytes(b"not empty")
    with read_only(index_dir), pytest.raises(RetrievalError, match="unable to open database file"):
        open_index(index_dir, encoder)


@pytest.mark.parametrize("damage", ["a file", "a folder instead of the file"])
def test_vectors_are_returned_although_they_cannot_be_kept(
    tmp_path: Path, encoder: Encoder, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    folder = tmp_path / "examples"
    expected = kept_vectors(["one", "two"], encoder, folder)
    (file,) = folder.iterdir()
    file.unlink()
    if damage == "a file":
        folder.rmdir()
        folder.write_text("")
    else:
        file.mkdir()
        (file / "content").touch()
    assert np.array_equal(kept_vectors(["one", "two"], encoder, folder), expected)
    (message,) = [record.getMessage() for record in caplog.records]
    assert str(folder) in message
