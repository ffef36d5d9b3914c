"""A pipe in the place of a file of ours is an error at once, and never blocks."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from prompts.yaml_document import read_text
from retrieval import ingest, open_index
from retrieval.encoders.kept_vectors import kept_vectors
from retrieval.regular_files import open_regular
from retrieval.store.checked_file import read_checked
from tests.support.hashing_encoder import HashingEncoder
from tests.support.small_bank import write_documents


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


def test_only_regular_files_are_opened(tmp_path: Path, pipe: Path) -> None:
    (tmp_path / "file").write_bytes(b"text")
    with open_regular(tmp_path / "file") as file:
        assert file.read() == b"text"
    for path in (pipe, Path("/dev/zero"), tmp_path):
        with pytest.raises(OSError, match=r"regular file|directory"):
            open_regular(path)
    for read in (read_checked, read_text):
        with pytest.raises(OSError, match="not a regular file"):
            read(pipe)


def test_an_index_whose_file_is_a_pipe_is_made_anew(tmp_path: Path) -> None:
    encoder = HashingEncoder()
    write_documents(tmp_path / "docs")
    ingest(tmp_path / "docs", tmp_path / "index", encoder)
    found = [one.passage.id for one in open_index(tmp_path / "index", encoder).search("card", 3)]
    (tmp_path / "index" / "index.faiss").unlink()
    os.mkfifo(tmp_path / "index" / "index.faiss")
    assert [one.passage.id for one in open_index(tmp_path / "index", encoder).search("card", 3)] == found


def test_kept_vectors_whose_file_is_a_pipe_are_computed(tmp_path: Path) -> None:
    encoder = HashingEncoder()
    vectors = kept_vectors(["one", "two"], encoder, tmp_path)
    [kept] = tmp_path.iterdir()
    kept.unlink()
    os.mkfifo(kept)
    assert np.array_equal(kept_vectors(["one", "two"], encoder, tmp_path), vectors)
