"""The dense index beside exact search over SQLite: every kind, with newer rows, deleted rows and a choice of rows."""

from __future__ import annotations

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
from retrieval.store.faiss_record import KINDS, Kind
from retrieval.vectors.dense import DenseIndex
from retrieval.vectors.faiss_file import current, keep_faiss, make_faiss, open_faiss
from retrieval.vectors.index_kind import FLAT_UP_TO, build, kind_for, recall_of, tune

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


def exact(store: PassageStore, queries: Floats, limit: int, among: set[int] | None = None) -> list[list[int]]:
    _, numbers, vectors = store.all_vectors()
    kept = np.array([among is None or int(number) in among for number in numbers], dtype=bool)
    order = np.argsort(-(queries @ vectors[kept].T), axis=1)[:, :limit]
    return numbers[kept][order].tolist()


def agrees(dense: DenseIndex, limit: int, among: list[int] | None = None) -> None:
    """It finds as many as there are, and what exact search finds."""
    queries = unit(5, 99)
    chosen = None if among is None else np.array(among, np.int64)
    scores, numbers = dense.search(queries, limit, chosen)
    wanted = exact(dense.store, queries, limit, None if among is None else set(among))
    assert numbers.shape == (5, len(wanted[0]))
    if wanted[0]:
        # Random queries lie further from everything than those that the effort was chosen for.
        found = recall_of(numbers, np.array(wanted, np.int64))
        assert found == 1.0 if dense.record.kind == "flat" else found >= 0.85
    assert (np.diff(scores, axis=1) <= 0).all()
    for row, said, query in zip(numbers, scores, queries, strict=True):
        whole = dense.store.vectors_by_number(row.tolist())
        assert [float(whole[number] @ query) for number in row.tolist()] == pytest.approx(said.tolist(), abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_finds_what_exact_search_finds(store: PassageStore, tmp_path: Path, kind: Kind) -> None:
    for number in range(16):
        write(store, f"d{number}", unit(50, number))
    dense = keep_faiss(store, tmp_path / "index.faiss", kind)
    assert dense.record.kind == kind
    assert dense.record.recall >= 0.98
    agrees(dense, 10)
    agrees(open_faiss(store, tmp_path / "index.faiss"), 10)


@pytest.mark.parametrize("kind", KINDS)
def test_newer_rows_are_found_and_deleted_ones_are_not(store: PassageStore, tmp_path: Path, kind: Kind) -> None:
    path = tmp_path / "index.faiss"
    for number in range(16):
        write(store, f"d{number}", unit(50, number))
    before = keep_faiss(store, path, kind)
    written = path.read_bytes()
    store.delete_document("d3")
    write(store, "d4", unit(20, 40))
    write(store, "new", unit(30, 50))
    store.delete_document("new")
    write(store, "newer", unit(30, 51))
    for dense in (current(before, path), open_faiss(store, path), keep_faiss(store, path)):
        assert len(dense) == 750
        assert (len(dense.tail_numbers), len(dense.dead)) == (50, 100)
        for limit in (1, 10, 800):
            agrees(dense, limit)
    assert path.read_bytes() == written
    made = make_faiss(store, path)
    assert (len(made), len(made.tail_numbers), len(made.dead)) == (750, 0, 0)
    agrees(made, 10)
    # Another process that still has the old file open takes up the new one.
    assert current(before, path).record == made.record


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("few", [0, 1])
def test_among_some_rows_as_many_are_found_as_there_are(
    store: PassageStore, tmp_path: Path, kind: Kind, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not few:
        # So that the index itself has to choose, and not exact search over the few.
        monkeypatch.setattr("retrieval.vectors.dense._FEW", 0)
        monkeypatch.setattr("retrieval.vectors.dense._MANY", 0)
    for number in range(16):
        write(store, f"d{number}", unit(50, number))
    dense = keep_faiss(store, tmp_path / "index.faiss", kind)
    write(store, "tail", unit(50, 77))
    store.delete_document("d0")
    dense = current(dense)
    for share in (3, 10, 100):
        agrees(dense, 10, [number for number in store.passage_numbers() if number % share == 0])
    agrees(dense, 10, [])


def test_writers_make_it_anew_when_too_much_stands_beside(store: PassageStore, tmp_path: Path) -> None:
    path = tmp_path / "index.faiss"
    write(store, "a", unit(10, 0))
    first = keep_faiss(store, path)
    write(store, "b", unit(1001, 1))
    assert len(open_faiss(store, path).tail_numbers) == 1001
    assert first.record == store.faiss_record()
    made = keep_faiss(store, path)
    assert (made.record.count, len(made.tail_numbers)) == (1011, 0)
    assert store.faiss_record() == made.record


def test_a_reader_forgets_what_was_written_and_deleted_between_two_makings(store: PassageStore, tmp_path: Path) -> None:
    path = tmp_path / "index.faiss"
    write(store, "a", unit(10, 0))
    before = keep_faiss(store, path)
    written = path.read_bytes()
    write(store, "b", unit(10, 1))
    reader = current(before, path)
    store.delete_document("b")
    # The same bytes as before, and the deletions that it knows of are cleared.
    make_faiss(store, path)
    assert path.read_bytes() == written
    reader = current(reader, path)
    assert (len(reader), len(reader.tail_numbers)) == (10, 0)
    agrees(reader, 20)


def test_another_choice_makes_it_anew_and_is_remembered(store: PassageStore, tmp_path: Path) -> None:
    path = tmp_path / "index.faiss"
    write(store, "a", unit(100, 0))
    assert keep_faiss(store, path).record.kind == "flat"
    assert keep_faiss(store, path, "hnsw").record.kind == "hnsw"
    assert keep_faiss(store, path).record.kind == "hnsw"
    path.unlink()
    assert open_faiss(store, path).record.kind == "hnsw"
    assert keep_faiss(store, path, "auto").record.kind == "flat"


def test_what_a_kind_needs() -> None:
    assert kind_for("auto", FLAT_UP_TO) == "flat"
    assert kind_for("auto", FLAT_UP_TO + 1) == "pq"
    assert kind_for("pq", 100) == "flat"
    assert kind_for("flat", 10**7) == "flat"
    assert kind_for("ivf", 10) == "flat"
    assert kind_for("ivf", 1000) == "ivf"


@pytest.mark.parametrize("count", [1, 2, 5, 11])
def test_a_graph_of_a_few_rows_finds_them_all(store: PassageStore, tmp_path: Path, count: int) -> None:
    write(store, "a", unit(count, 0))
    dense = keep_faiss(store, tmp_path / "index.faiss", "hnsw")
    write(store, "b", unit(4, 2))
    queries = unit(5, 99)
    for limit in (3, 5, 20):
        assert current(dense).search(queries, limit)[1].tolist() == exact(store, queries, limit)


class _Forgetful:
    """A FAISS index that finds one row, however many are asked for."""

    def __init__(self, index: Any) -> None:
        self.ntotal = index.ntotal
        self._index = index

    def search(self, vectors: Floats, limit: int, params: Any = None) -> tuple[Floats, NDArray[np.int64]]:
        scores, numbers = self._index.search(vectors, limit, params=params)
        numbers[:, 1:] = -1
        return scores, numbers


def test_what_the_index_leaves_out_is_not_made_up_for_by_newer_rows(store: PassageStore, tmp_path: Path) -> None:
    write(store, "a", unit(50, 0))
    dense = keep_faiss(store, tmp_path / "index.faiss", "hnsw")
    write(store, "b", unit(20, 1))
    dense = replace(current(dense), index=_Forgetful(dense.index))
    queries = unit(5, 99)
    assert dense.search(queries, 10)[1].tolist() == exact(store, queries, 10)


def test_an_empty_index_finds_nothing_and_grows(store: PassageStore, tmp_path: Path) -> None:
    dense = keep_faiss(store, tmp_path / "index.faiss")
    assert dense.search(unit(2, 0), 3)[1].shape == (2, 0)
    write(store, "a", unit(10, 0))
    agrees(current(dense), 3)
    agrees(open_faiss(store, tmp_path / "index.faiss"), 3)


def test_effort_rises_until_enough_is_found() -> None:
    vectors, numbers = unit(2000, 0, 64), np.arange(2000, dtype=np.int64)
    index, tried = build("ivf", vectors, numbers), []

    def search(queries: Floats, limit: int, effort: int) -> NDArray[np.int64]:
        import faiss

        tried.append(effort)
        return index.search(queries, limit, params=faiss.SearchParametersIVF(nprobe=effort))[1]  # type: ignore[no-any-return]

    effort, recall = tune("ivf", index, vectors, numbers, search, target=0.9)
    assert recall >= 0.9
    assert tried == sorted(tried)
    assert effort == tried[-1] > 8


def test_without_room_the_old_file_stays(store: PassageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "index.faiss"
    write(store, "a", unit(100, 0))
    keep_faiss(store, path)
    old = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(RetrievalError, match="No space left on device"):
        keep_faiss(store, path, "hnsw")
    assert path.read_bytes() == old
    assert sorted(file.name for file in tmp_path.glob("*faiss*")) == ["index.faiss"]
    # A reader that may not write is served all the same.
    path.write_bytes(b"")
    agrees(open_faiss(store, path), 10)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["write", "delete", "make", "open"]), st.integers(0, 5), st.integers(0, 30)),
        max_size=12,
    ),
    st.sampled_from(KINDS),
)
def test_any_history_is_searched_as_exactly(
    tmp_path_factory: pytest.TempPathFactory, history: list[tuple[str, int, int]], kind: Kind
) -> None:
    folder = tmp_path_factory.mktemp("history")
    with PassageStore.open(folder / "index.sqlite", create=True) as store:
        store.bind_encoder("test", DIMENSION)
        dense = keep_faiss(store, folder / "index.faiss", kind)
        for step, (what, which, count) in enumerate(history):
            if what == "write":
                write(store, f"d{which}", unit(count + 1, step))
            elif what == "delete":
                store.delete_document(f"d{which}")
            elif what == "make":
                make_faiss(store, folder / "index.faiss")
            else:
                agrees(open_faiss(store, folder / "index.faiss"), 5)
            dense = current(dense, folder / "index.faiss")
            agrees(dense, 5)
