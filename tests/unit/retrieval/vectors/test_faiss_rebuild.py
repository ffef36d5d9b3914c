"""The FAISS file is derived data: whatever happens to it, the results come from SQLite."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from retrieval import Encoder, PassageStore, ingest, open_index, split_document
from retrieval.vectors.faiss_file import rebuild_faiss

QUERY = "How long may I dispute a card payment?"


def answers(index_dir: Path, encoder: Encoder) -> list[tuple[str, float]]:
    with open_index(index_dir, encoder) as index:
        return [(results.passage.id, results.dense) for results in index.search(QUERY, 10, weights=(1.0, 0.0))]


@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "flipped", "foreign"])
def test_a_bad_file_is_rebuilt(docs: Path, index_dir: Path, encoder: Encoder, damage: str) -> None:
    ingest(docs, index_dir, encoder)
    path = index_dir / "index.faiss"
    good, expected = path.read_bytes(), answers(index_dir, encoder)
    assert len(expected) == 6
    match damage:
        case "missing":
            path.unlink()
        case "empty":
            path.write_bytes(b"")
        case "truncated":
            path.write_bytes(good[: len(good) // 2])
        case "foreign":
            path.write_bytes(b"IwFl" + good[4:])
        case "flipped":
            position = random.Random(7).randrange(len(good))
            path.write_bytes(good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
    assert answers(index_dir, encoder) == expected
    assert path.read_bytes() == good
    assert sorted(file.name for file in index_dir.iterdir() if "faiss" in file.name) == ["index.faiss"]


def test_a_file_of_an_older_revision_is_rebuilt(docs: Path, index_dir: Path, encoder: Encoder) -> None:
    ingest(docs, index_dir, encoder)
    path = index_dir / "index.faiss"
    old = path.read_bytes()
    (docs / "disputes.md").write_text("# Disputes\n\nWrite a letter.\n", encoding="utf-8")
    ingest(docs, index_dir, encoder)
    with PassageStore.open(index_dir / "index.sqlite") as store:
        rebuild_faiss(store, path)
    expected = answers(index_dir, encoder)
    assert path.read_bytes() != old
    path.write_bytes(old)
    assert answers(index_dir, encoder) == expected
    assert path.read_bytes() != old


def test_an_ingest_interrupted_before_the_file_was_written(docs: Path, index_dir: Path, encoder: Encoder) -> None:
    ingest(docs, index_dir, encoder)
    answer = "You have 120 days to dispute a card payment."
    with PassageStore.open(index_dir / "index.sqlite") as store:
        document = store.document("disputes")
        passages = split_document(document, encoder.count_tokens)
        vectors = encoder.encode([passage.text for passage in passages])
        store.replace_document(document, "another splitter", passages, vectors)
    with open_index(index_dir, encoder) as index:
        (results,) = index.search(answer, 1, weights=(1.0, 0.0))
    assert results.passage.text == answer
    assert results.dense == pytest.approx(1.0)


def test_an_open_index_sees_an_ingest(docs: Path, index_dir: Path, encoder: Encoder) -> None:
    ingest(docs, index_dir, encoder)
    with open_index(index_dir, encoder) as index:
        assert index.search(QUERY)[0].passage.doc_id == "disputes"
        (docs / "disputes.md").unlink()
        (docs / "new.md").write_text("# Payments\n\nDispute a card payment within 90 days.", encoding="utf-8")
        ingest(docs, index_dir, encoder)
        results = index.search(QUERY, 10)
        assert results[0].passage.doc_id == "new"
        assert "disputes" not in {one.passage.doc_id for one in results}


def test_torch_keeps_its_threads(docs: Path, index_dir: Path, encoder: Encoder) -> None:
    import faiss

    ingest(docs, index_dir, encoder)
    before = faiss.omp_get_max_threads()
    answers(index_dir, encoder)
    assert faiss.omp_get_max_threads() == before
