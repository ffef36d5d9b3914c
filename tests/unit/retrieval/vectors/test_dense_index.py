"""The dense index against exact search over SQLite: each kind, with newer rows, deleted rows and filtered rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from retrieval import Document, Passage, PassageStore, RetrievalError
from retrieval.documents import passage_id
from retrieval.store.faiss_record import INDEX_KINDS, IndexKind
from retrieval.vectors.dense import DenseIndex
from retrieval.vectors.faiss_file import open_faiss, rebuild_faiss, refreshed, update_faiss
from retrieval.vectors.index_kind import FLAT_UP_TO, kind_for, recall_of, tune

# Left out of `make check`.
pytestmark = pytest.mark.heavy

DIMENSION = 16
Floats = NDArray[np.float32]


def unit(count: int, seed: int, dimension: int = DIMENSION) -> Floats:
    rows = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def write(store: PassageStore, name: str, vectors: Floats) -> None:
    words = [f"word{number}" for number in range(len(vectors))]
    text = " ".join(words)
    document = Document(name, "", text, name, f"{name}.txt", "0", "test")
    passages, start = [], 0
    for word in words:
        end = start + len(word)
        passages.append(Passage(passage_id(name, start, end, word), name, "", "", word, start, end))
        start = end + 1
    store.replace_document(document, "test", passages, vectors)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PassageStore]:
    with PassageStore.open(tmp_path / "index.sqlite", create=True) as opened:
        opened.bind_encoder("test", DIMENSION)
        yield opened


def exact(store: PassageStore, queries: Floats, limit: int, include: set[int] | None = None) -> list[list[int]]:
    numbers, vectors = store.vectors_after(0)
    kept = np.array([include is None or int(number) in include for number in numbers], dtype=bool)
    order = np.argsort(-(queries @ vectors[kept].T), axis=1)[:, :limit]
    return numbers[kept][order].tolist()


def agrees(dense: DenseIndex, limit: int, include: list[int] | None = None) -> None:
    """The search returns as many results as exist, and agrees with exact search."""
    queries = unit(5, 99)
    chosen = None if include is None else np.array(include, np.int64)
    scores, numbers = dense.search(queries, limit, chosen)
    wanted = exact(dense.store, queries, limit, None if include is None else set(include))
    assert numbers.shape == (5, len(wanted[0]))
    if wanted[0]:
        # Random queries are further from every vector than those that the effort was tuned on.
        results = recall_of(numbers, np.array(wanted, np.int64))
        assert results == 1.0 if dense.record.kind == "flat" else results >= 0.85
    assert (np.diff(scores, axis=1) <= 0).all()
    for row, returned, query in zip(numbers, scores, queries, strict=True):
        whole = dense.store.vectors_by_number(row.tolist())
        assert [float(whole[number] @ query) for number in row.tolist()] == pytest.approx(returned.tolist(), abs=1e-5)


@pytest.mark.parametrize("kind", INDEX_KINDS)
def test_every_kind_agrees_with_exact_search(store: PassageStore, tmp_path: Path, kind: IndexKind) -> None:
    for number in range(16):
        write(store, f"d{number}", unit(50, number))
    dense = update_faiss(store, tmp_path / "index.faiss", kind)
    assert dense.record.kind == kind
    assert dense.record.recall >= 0.98
    agrees(dense, 10)
    agrees(open_faiss(store, tmp_path / "index.faiss"), 10)


@pytest.mark.parametrize("kind", INDEX_KINDS)
def test_newer_rows_are_found_and_deleted_ones_are_not(store: PassageStore, tmp_path: Path, kind: IndexKind) -> None:
    path = tmp_path / "index.faiss"
    for number in range(16):
        write(store, f"d{number}", unit(50, number))
    before = update_faiss(store, path, kind)
    written = path.read_bytes()
    store.delete_document("d3")
    write(store, "d4", unit(20, 40))
    write(store, "new", unit(30, 50))
    store.delete_document("new")
    write(store, "newer", unit(30, 51))
    for dense in (refreshed(before, path), open_faiss(store, path), update_faiss(store, path)):
        assert len(dense) == 750
        assert (len(dense.tail_numbers), len(dense.deleted)) == (50, 100)
        for limit in (1, 10, 800):
            agrees(dense, limit)
    assert path.read_bytes() == written
    made = rebuild_faiss(store, path)
    assert (len(made), len(made.tail_numbers), len(made.deleted)) == (750, 0, 0)
    agrees(made, 10)
    # Another process that has the old file open switches to the new one.
    assert refreshed(before, path).record == made.record


@pytest.mark.parametrize("kind", INDEX_KINDS)
@pytest.mark.parametrize("score_all", [False, True])
def test_filtered_rows_are_all_found(
    store: PassageStore, tmp_path: Path, kind: IndexKind, score_all: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not score_all:
        # The index itself has to filter.
        monkeypatch.setattr("retrieval.vectors.dense._SCORE_ALL", {"flat": 0, "pq": 0})
    for number in range(16):
        write(store, f"d{number}", unit(50, number))
    dense = update_faiss(store, tmp_path / "index.faiss", kind)
    write(store, "tail", unit(50, 77))
    store.delete_document("d0")
    dense = refreshed(dense)
    for share in (3, 10, 100):
        agrees(dense, 10, [number for number in store.passage_numbers() if number % share == 0])
    agrees(dense, 10, [])


def test_writers_rebuild_the_index_after_many_changes(store: PassageStore, tmp_path: Path) -> None:
    path = tmp_path / "index.faiss"
    write(store, "a", unit(10, 0))
    first = update_faiss(store, path)
    write(store, "b", unit(1001, 1))
    assert len(open_faiss(store, path).tail_numbers) == 1001
    assert first.record == store.faiss_record()
    made = update_faiss(store, path)
    assert (made.record.count, len(made.tail_numbers)) == (1011, 0)
    assert store.faiss_record() == made.record


def test_a_reader_forgets_rows_written_and_deleted_between_two_builds(store: PassageStore, tmp_path: Path) -> None:
    path = tmp_path / "index.faiss"
    write(store, "a", unit(10, 0))
    before = update_faiss(store, path)
    written = path.read_bytes()
    write(store, "b", unit(10, 1))
    reader = refreshed(before, path)
    store.delete_document("b")
    # The file has the same bytes as before, and the tombstones are cleared.
    rebuild_faiss(store, path)
    assert path.read_bytes() == written
    reader = refreshed(reader, path)
    assert (len(reader), len(reader.tail_numbers)) == (10, 0)
    agrees(reader, 20)


def test_another_choice_rebuilds_the_index_and_is_stored(store: PassageStore, tmp_path: Path) -> None:
    path = tmp_path / "index.faiss"
    write(store, "a", unit(700, 0))
    assert update_faiss(store, path).record.kind == "flat"
    assert update_faiss(store, path, "pq").record.kind == "pq"
    assert update_faiss(store, path).record.kind == "pq"
    path.unlink()
    assert open_faiss(store, path).record.kind == "pq"
    assert update_faiss(store, path, "auto").record.kind == "flat"


def test_pq_needs_vectors_to_train_on() -> None:
    assert kind_for("auto", FLAT_UP_TO) == "flat"
    assert kind_for("auto", FLAT_UP_TO + 1) == "pq"
    assert kind_for("pq", 100) == "flat"
    assert kind_for("pq", 1000) == "pq"
    assert kind_for("flat", 10**7) == "flat"


@pytest.mark.parametrize("removed", ["hnsw", "ivf"])
def test_an_index_of_a_removed_kind_is_rebuilt_with_a_notice(
    store: PassageStore, tmp_path: Path, removed: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "index.faiss"
    write(store, "a", unit(100, 0))
    record = update_faiss(store, path).record
    # As an older release left it: the chosen kind, and the metadata of the file.
    with sqlite3.connect(store.path) as connection:
        connection.execute("INSERT INTO meta VALUES ('index_choice', ?)", (removed,))
        text = replace(record, kind=removed, effort=64).to_json()  # type: ignore[arg-type]
        connection.execute("UPDATE meta SET value = ? WHERE key = 'faiss'", (text,))
    connection.close()
    dense = open_faiss(store, path)
    assert f"the kind {removed!r}, which this release does not have; it is rebuilt as `auto`" in caplog.text
    assert (dense.record.kind, store.index_choice) == ("flat", "auto")
    agrees(dense, 10)
    caplog.clear()
    assert open_faiss(store, path).record == store.faiss_record() == dense.record
    assert update_faiss(store, path).record == dense.record
    assert not caplog.records


class ForgetfulIndex:
    """A FAISS index that returns one row, whatever the limit."""

    def __init__(self, index: Any) -> None:
        self.ntotal = index.ntotal
        self._index = index

    def search(self, vectors: Floats, limit: int) -> tuple[Floats, NDArray[np.int64]]:
        scores, numbers = self._index.search(vectors, limit)
        numbers[:, 1:] = -1
        return scores, numbers


def test_newer_rows_do_not_hide_that_the_index_misses_some(store: PassageStore, tmp_path: Path) -> None:
    write(store, "a", unit(700, 0))
    dense = update_faiss(store, tmp_path / "index.faiss", "pq")
    write(store, "b", unit(20, 1))
    dense = replace(refreshed(dense), index=ForgetfulIndex(dense.index))
    queries = unit(5, 99)
    assert dense.search(queries, 10)[1].tolist() == exact(store, queries, 10)


def test_an_empty_index_has_no_results_and_grows(store: PassageStore, tmp_path: Path) -> None:
    dense = update_faiss(store, tmp_path / "index.faiss")
    assert dense.search(unit(2, 0), 3)[1].shape == (2, 0)
    write(store, "a", unit(10, 0))
    agrees(refreshed(dense), 3)
    agrees(open_faiss(store, tmp_path / "index.faiss"), 3)


def test_effort_rises_until_the_recall_is_reached() -> None:
    vectors, numbers = unit(2000, 0, 64), np.arange(2000, dtype=np.int64)
    tried = []

    def search(queries: Floats, limit: int, effort: int) -> NDArray[np.int64]:
        tried.append(effort)
        return np.argsort(-(queries @ vectors[:effort].T), axis=1)[:, :limit]

    effort, recall = tune("pq", vectors, numbers, search, target=0.7)
    assert recall >= 0.7
    assert tried == [192, 384, 768, 1536]
    assert effort == 1536


def test_a_full_disk_keeps_the_old_file(store: PassageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "index.faiss"
    write(store, "a", unit(100, 0))
    update_faiss(store, path)
    old = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(RetrievalError, match="No space left on device"):
        rebuild_faiss(store, path)
    assert path.read_bytes() == old
    assert sorted(file.name for file in tmp_path.glob("*faiss*")) == ["index.faiss"]
    # A reader that cannot write still gets results.
    path.write_bytes(b"")
    agrees(open_faiss(store, path), 10)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["write", "delete", "rebuild", "open"]), st.integers(0, 5), st.integers(0, 30)),
        max_size=12,
    ),
    st.sampled_from(INDEX_KINDS),
)
def test_any_history_of_writes_agrees_with_exact_search(
    tmp_path_factory: pytest.TempPathFactory, history: list[tuple[str, int, int]], kind: IndexKind
) -> None:
    folder = tmp_path_factory.mktemp("history")
    with PassageStore.open(folder / "index.sqlite", create=True) as store:
        store.bind_encoder("test", DIMENSION)
        dense = update_faiss(store, folder / "index.faiss", kind)
        for step, (action, which, count) in enumerate(history):
            if action == "write":
                write(store, f"d{which}", unit(count + 1, step))
            elif action == "delete":
                store.delete_document(f"d{which}")
            elif action == "rebuild":
                rebuild_faiss(store, folder / "index.faiss")
            else:
                agrees(open_faiss(store, folder / "index.faiss"), 5)
            dense = refreshed(dense, folder / "index.faiss")
            agrees(dense, 5)
