"""Records in an index: compared with a simple model, atomic, shared, reopened; and invalid records."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval import (
    Encoder,
    EncoderError,
    FilterError,
    IndexMismatchError,
    Record,
    RecordError,
    RecordIndex,
    RetrievalError,
    ingest,
    open_index,
)
from retrieval.records.records import most_diverse

# Left out of `make check`.
pytestmark = pytest.mark.heavy

DIMENSION = 4
ADD = st.tuples(st.just("add"), st.lists(st.tuples(st.integers(0, 5), st.integers(0, 10**6)), min_size=1, max_size=3))
DELETE = st.tuples(st.just("delete"), st.lists(st.integers(0, 7), max_size=3))
SEARCH = st.tuples(st.just("search"), st.tuples(st.integers(0, 10**6), st.integers(1, 8), st.booleans()))


@pytest.fixture(params=["memory", "folder"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RecordIndex]:
    index = RecordIndex(None if request.param == "memory" else tmp_path / "records", "e")
    yield index
    index.close()


def vector(seed: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).normal(size=DIMENSION) * 3


def record(name: str, **metadata: Any) -> Record:
    return Record(name, f"The text of {name}.", metadata)


def ids(index: RecordIndex, seed: int = 0, k: int = 100, where: object = None) -> list[str]:
    return [results.record.id for results in index.search(vector(seed), k, where)]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.one_of(ADD, DELETE, SEARCH), max_size=8))
def test_an_index_behaves_like_a_dict_and_numpy(steps: list[tuple[str, Any]]) -> None:
    index, model = RecordIndex(None, "e"), dict[str, tuple[Record, Any]]()
    for action, argument in [*steps, ("search", (1, 8, True)), ("search", (2, 3, False))]:
        if action == "add":
            some = [record(str(number), parity=seed % 2, seed=seed) for number, seed in argument]
            index.add(some, [vector(seed) for _, seed in argument])
            model |= {one.id: (one, vector(one.metadata["seed"])) for one in some}
        elif action == "delete":
            names = [str(number) for number in argument]
            assert index.delete(names) == len(set(names) & set(model))
            model = {name: held for name, held in model.items() if name not in names}
        else:
            seed, k, filtered = argument
            query = vector(seed)
            cosines = {
                name: float(query @ other / np.linalg.norm(query) / np.linalg.norm(other))
                for name, (one, other) in model.items()
                if not filtered or one.metadata["parity"] == 1
            }
            results = index.search(query, k, {"parity": 1} if filtered else None)
            assert [one.score for one in results] == pytest.approx(sorted(cosines.values(), reverse=True)[:k], abs=1e-5)
            for one in results:
                assert one.record == model[one.record.id][0]
                assert one.score == pytest.approx(cosines[one.record.id], abs=1e-5)
    index.close()


def test_a_record_round_trips(index: RecordIndex) -> None:
    metadata = {"id": 1, "deep": {"list": [1, 2.5, None, True, "é"]}, "": "", "'\"\\": "$"}
    index.add([Record("ä/1", "Two\nlines \0 and 𝕏", metadata), record("b")], [vector(1), vector(2)])
    assert index.get(["b", "none", "ä/1"]) == [record("b"), Record("ä/1", "Two\nlines \0 and 𝕏", metadata)]
    assert index.search(vector(1), 1)[0].score == pytest.approx(1.0)
    assert index.search(-vector(1), 5)[-1].score == pytest.approx(-1.0)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (Record("", "x"), "the id ''"),
        (Record(7, "x"), "the id 7"),  # type: ignore[arg-type]
        (Record("a", None), "a text of type NoneType"),  # type: ignore[arg-type]
        (Record("a", "\ud800"), "an unpaired surrogate"),
        (Record("a", "x", {"date": object()}), r"\['date'\] is of type object"),
        (Record("a", "x", {"pair": (1, 2)}), r"\['pair'\] is of type tuple"),
        (Record("a", "x", {"set": [{1}]}), r"\['set'\]\[0\] is of type set"),
        (Record("a", "x", {1: 2}), "has the key 1"),  # type: ignore[dict-item]
        (Record("a", "x", {"n": float("nan")}), "is nan"),
        (Record("a", "x", {"n": 10**400}), "bits"),
        (Record("a", "x", {"n": "a\0b"}), r"U\+0000"),
        (Record("a", "x", {"n": "\udfff"}), "an unpaired surrogate"),
        (Record("a", "x", [1]), "metadata of type list"),  # type: ignore[arg-type]
    ],
)
def test_invalid_records_are_refused_before_anything_is_written(index: RecordIndex, bad: Record, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        index.add([record("good"), bad], [vector(1), vector(2)])
    assert index.folder is None or not index.folder.exists()
    assert ids(index) == []


def test_metadata_that_contains_itself_is_refused(index: RecordIndex) -> None:
    metadata: dict[str, Any] = {}
    metadata["self"] = metadata
    with pytest.raises(RecordError, match="nested too deeply"):
        index.add([Record("a", "x", metadata)], [vector(1)])


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        ([[1, 2], [0, 0]], r"zeros \(number 1\)"),
        ([[1, 2], [1, float("inf")]], "not finite"),
        ([[1, 2], [1]], "different dimensions"),
        ([[1, 2]], "the shape"),
        ([[], []], "the shape"),
        (None, "the shape"),
        (["a", "b"], "different dimensions, or no vectors"),
    ],
)
def test_vectors_without_a_direction_are_refused(index: RecordIndex, vectors: object, message: str) -> None:
    with pytest.raises(EncoderError, match=message):
        index.add([record("a"), record("b")], vectors)
    assert ids(index) == []


def test_vectors_beyond_single_precision_are_normalised(index: RecordIndex) -> None:
    index.add([record("a"), record("b")], [[1e300, 1e300, 0, 0], [0, 0, 3e-320, 0]])
    assert [results.score for results in index.search([1, 1, 0, 0], 2)] == pytest.approx([1.0, 0.0])


def test_another_dimension_or_encoder_is_refused_and_loses_nothing(tmp_path: Path) -> None:
    index = RecordIndex(tmp_path, "e")
    index.add([record("a")], [vector(1)])
    with pytest.raises(IndexMismatchError, match=r"dimension 4.*dimension 2.*nothing was changed"):
        index.add([record("a"), record("b")], [[1, 2], [3, 4]])
    with pytest.raises(IndexMismatchError, match="dimension 2"):
        index.search([1, 2], 1)
    with pytest.raises(IndexMismatchError, match=r"made by the encoder e .*Expected: the encoder other"):
        RecordIndex(tmp_path, "other").add([record("b")], [vector(2)])
    assert index.get(["a", "b"]) == [record("a")]
    # An empty index may be bound again.
    index.delete(None)
    index.add([record("b")], [[1, 2]])
    assert [results.record.id for results in index.search([1, 2], 5)] == ["b"]
    index.close()


def test_a_batch_that_fails_leaves_the_old_state(index: RecordIndex) -> None:
    index.add([record("a", version=1), record("b")], [vector(1), vector(2)])
    index.search(vector(1), 1)
    seen = 0

    def fail_late() -> None:
        nonlocal seen
        seen += 1
        if seen == 4:  # before the commit
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index.add([record("a", version=2), record("c"), record("d")], [vector(n) for n in (3, 4, 5)], fail_late)
    with pytest.raises(KeyboardInterrupt):
        index.delete(None, lambda: (_ for _ in ()).throw(KeyboardInterrupt))
    assert index.get(["a", "b", "c"]) == [record("a", version=1), record("b")]
    assert sorted(ids(index)) == ["a", "b"]
    index.add([record("c")], [vector(3)])
    assert sorted(ids(index)) == ["a", "b", "c"]


def test_reading_creates_nothing(tmp_path: Path) -> None:
    index = RecordIndex(tmp_path / "none", "e")
    assert ids(index) == index.get(["a"]) == []
    assert index.delete(["a"]) == 0
    with pytest.raises(FilterError):
        index.search(vector(1), 1, {"$bad": 1})
    assert not (tmp_path / "none").exists()


def test_two_indexes_of_a_folder_see_each_other(tmp_path: Path) -> None:
    reader, writer = RecordIndex(tmp_path, "e"), RecordIndex(tmp_path, "e")
    assert ids(reader) == []
    writer.add([record("a"), record("b", lang="en")], [vector(1), vector(2)])
    assert sorted(ids(reader)) == ["a", "b"]
    writer.add([record("a", lang="en")], [vector(3)])
    writer.delete(["b"])
    assert ids(reader, where={"lang": "en"}) == ["a"]
    writer.close()
    reader.close()
    with pytest.raises(RetrievalError, match="is closed"):
        reader.get(["a"])
    again = RecordIndex(tmp_path, "e")
    assert again.get(["a"]) == [record("a", lang="en")]
    again.close()


def test_writes_of_another_process_are_found(tmp_path: Path) -> None:
    index = RecordIndex(tmp_path, "e")
    index.add([record("a"), record("b")], [vector(1), vector(2)])
    assert sorted(ids(index)) == ["a", "b"]
    code = (
        "import sys; from pathlib import Path; from retrieval import Record, RecordIndex\n"
        "index = RecordIndex(Path(sys.argv[1]), 'e')\n"
        "index.add([Record('c', 'theirs'), Record('a', 'theirs')], [[1, 2, 3, 4], [4, 3, 2, 1]])\n"
        "index.delete(['b'])\n"
    )
    root = Path(__file__).parents[4]
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, cwd=root, timeout=120)
    assert sorted(ids(index)) == ["a", "c"]
    assert index.search([4, 3, 2, 1], 1)[0].record == Record("a", "theirs")
    index.close()


def test_searches_while_others_add_and_delete(index: RecordIndex) -> None:
    kept = [record(f"kept-{n}", kept=True) for n in range(10)]
    index.add(kept, [vector(n) for n in range(10)])
    done = threading.Event()

    def write(name: str) -> None:
        for turn in range(12):
            index.add([record(f"{name}-{n}", turn=turn) for n in range(3)], [vector(100 + turn + n) for n in range(3)])
            index.delete([f"{name}-{turn % 3}"])

    def search(seed: int) -> int:
        searches = 0
        while not done.is_set() or not searches:
            results = ids(index, seed, 10)
            assert len(results) == len(set(results)) == 10
            assert set(ids(index, seed, 50, {"kept": True})) == {one.id for one in kept}
            assert len(index.search_diverse(vector(seed), 5, fetch_k=8, relevance=0.5)) == 5
            searches += 1
        return searches

    with ThreadPoolExecutor(5) as pool:
        searching = [pool.submit(search, seed) for seed in range(2)]
        writing = [pool.submit(write, name) for name in ("x", "y")]
        for one in writing:
            one.result(60)
        done.set()
        assert all(one.result(60) for one in searching)
    assert set(ids(index)) == {one.id for one in kept} | {f"{name}-{n}" for name in "xy" for n in (0, 1)}


def test_a_search_under_constant_writes_reads_one_state(tmp_path: Path) -> None:
    index, writer = RecordIndex(tmp_path, "e"), RecordIndex(tmp_path, "e")
    writer.add([record(str(n), even=n % 2 == 0) for n in range(6)], [vector(n) for n in range(6)])
    store = index._opened()
    assert store is not None
    revisions = iter(range(100))

    class Restless(type(store)):  # type: ignore[misc]
        """A store that changes before every read."""

        @property
        def revision(self) -> int:
            return next(revisions)

    restless = Restless(store.path)
    restless._database = store._database
    index._store = restless
    assert sorted(ids(index, k=10)) == ["0", "1", "2", "3", "4", "5"]
    assert sorted(ids(index, k=10, where={"even": True})) == ["0", "2", "4"]
    assert next(revisions) > 3
    index.close()
    writer.close()


def test_records_are_found_by_their_words_as_well(tmp_path: Path, encoder: Encoder) -> None:
    index = RecordIndex(tmp_path, encoder.id)
    texts = ["The card costs 12 euros.", "Disputes take 120 days.", "境外取现另收手续费。"]
    index.add([Record(str(n), text) for n, text in enumerate(texts)], encoder.encode(texts))
    with open_index(tmp_path, encoder) as hybrid:
        assert [results.passage.id for results in hybrid.search("disputes", 1, weights=(0.0, 1.0))] == ["1"]
        assert [results.passage.id for results in hybrid.search("手续费", 1)] == ["2"]
        index.add([Record("0", "A crab walks sideways.")], encoder.encode(["A crab walks sideways."]))
        index.search(encoder.encode(["crab"])[0], 1)
        assert [results.passage.text for results in hybrid.search("crab", 1)] == ["A crab walks sideways."]
        assert hybrid.document("0").text == "A crab walks sideways."
    index.close()


def test_the_faiss_index_follows_what_was_written(index: RecordIndex) -> None:
    path = index.folder / "index.faiss" if index.folder is not None else None
    index.add([record(str(n)) for n in range(600)], [vector(n) for n in range(600)])
    index.maintain()
    assert path is None or path.is_file()
    assert len(ids(index, k=1000)) == 600
    index.add([record(str(n)) for n in range(100, 800)], [vector(n + 5000) for n in range(100, 800)])
    assert index._current_dense(index._opened()).record.count == 600  # type: ignore[arg-type]
    index.maintain()
    dense = index._current_dense(index._opened())  # type: ignore[arg-type]
    assert (dense.record.count, len(dense.tail_numbers), len(dense.deleted)) == (800, 0, 0)
    assert ids(index, 5799, 1) == ["799"]
    assert len(ids(index, k=1000)) == 800
    if index.folder is not None:
        again = RecordIndex(index.folder, "e")
        assert again._current_dense(again._opened()).record == dense.record  # type: ignore[arg-type]
        again.close()


def test_an_ingest_would_remove_records_and_is_refused(docs: Path, tmp_path: Path, encoder: Encoder) -> None:
    index = RecordIndex(tmp_path / "records", encoder.id)
    index.add([Record("0", "Text.")], encoder.encode(["Text."]))
    with pytest.raises(IndexMismatchError, match=r"holds records that a program added.*choose another folder"):
        ingest(docs, tmp_path / "records", encoder)
    assert [one.id for one in index.get(["0"])] == ["0"]
    index.close()


def test_an_index_of_documents_is_read_only(docs: Path, index_dir: Path, encoder: Encoder) -> None:
    ingest(docs, index_dir, encoder)
    index = RecordIndex(index_dir, encoder.id)
    query = encoder.encode(["Cash withdrawals abroad"])[0]
    best = index.search(query, 1, {"doc_id": "cards/fees"})[0].record
    assert best.text == "Cash withdrawals abroad cost 2.99 percent, at least 3 euros."
    with open_index(index_dir, encoder) as opened:
        passages = list(opened.passages())
    (passage,) = (one for one in passages if one.id == best.id)
    assert best.metadata == {
        name: getattr(passage, name) for name in ("doc_id", "title", "heading", "page", "start", "end")
    }
    assert len(index.search(query, 100)) == len(passages) == 6
    assert len(index.search(query, 100, {"doc_id": ["cards/fees", "zh"], "page": None})) == 4
    assert index.search(query, 100, {"start": {"$lt": 0}}) == []
    for change in (
        lambda: index.add([Record("new", "text")], [query]),
        lambda: index.delete([best.id]),
        lambda: index.delete(None),
    ):
        with pytest.raises(IndexMismatchError, match="holds ingested documents"):
            change()
    assert index.get([best.id]) == [best]
    index.close()
    assert ingest(docs, index_dir, encoder).unchanged == 3


def test_diverse_results_follow_the_formula() -> None:
    rng = np.random.default_rng(5)
    vectors = rng.normal(size=(30, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    query = vectors[3]
    assert most_diverse(query, vectors, 30, 1.0) == np.argsort(-(vectors @ query)).tolist()
    for relevance in (0.0, 0.3, 0.8):
        chosen = most_diverse(query, vectors, 6, relevance)
        assert chosen[0] == 3
        for place in range(1, 6):
            before, left = chosen[:place], sorted(set(range(30)) - set(chosen[:place]))
            value = {
                row: relevance * float(vectors[row] @ query)
                - (1 - relevance) * max(float(vectors[row] @ vectors[one]) for one in before)
                for row in left
            }
            assert value[chosen[place]] == pytest.approx(max(value.values()), abs=1e-6)
    assert most_diverse(query, vectors[:2], 6, 0.5) in ([0, 1], [1, 0])
    assert most_diverse(query, vectors[:0], 6, 0.5) == []


@pytest.mark.parametrize(
    ("k", "relevance", "message"), [(0, 0.5, "k is 0"), (1, 1.5, "relevance is 1.5"), (1, -0.1, "relevance is -0.1")]
)
def test_numbers_out_of_range_are_refused(index: RecordIndex, k: int, relevance: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        index.search_diverse(vector(1), k, fetch_k=5, relevance=relevance)
    with pytest.raises(ValueError, match="k is 0"):
        index.search(vector(1), 0)


def test_a_filtered_diverse_search_returns_enough_results(index: RecordIndex) -> None:
    index.add([record(str(n), odd=n % 2 == 1) for n in range(40)], [vector(n) for n in range(40)])
    results = index.search_diverse(vector(7), 12, fetch_k=3, relevance=0.5, where={"odd": True})
    assert len({one.record.id for one in results}) == 12
    assert results[0].record.id == "7"
    assert all(one.record.metadata["odd"] for one in results)
