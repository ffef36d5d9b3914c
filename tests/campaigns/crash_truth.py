"""Two versions of a docs folder, and an independent check of an index against them."""

from __future__ import annotations

import hashlib
import random
import shutil
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval import Index, IngestReport, NotIngestedError, PassageStore, ingest, open_index
from tests.support.hashing_encoder import HashingEncoder

SEED = 7
MAX_TOKENS = 20
DATABASE, FAISS = "index.sqlite", "index.faiss"

_WORDS = 240
_TOP = 12


def make_encoder() -> Any:
    """A deterministic encoder without a model, so that a process starts quickly."""
    return HashingEncoder()


def write_folder(folder: Path, version: int, documents: int = 12, sentences: int = 8) -> None:
    """Write a folder. Version 2 keeps some documents of version 1, and edits, removes, renames and adds others."""
    folder.mkdir(parents=True)
    for number in range(documents):
        role = number % 6
        if version == 2 and role == 5:
            continue
        lines = _sentences(number, sentences)
        if version == 2 and role in (1, 2, 3):
            edited = random.Random(SEED * 1000 + number)
            for _ in range(3):
                lines[edited.randrange(len(lines))] = " ".join(_sentence(edited))
            lines.insert(edited.randrange(len(lines)), " ".join(_sentence(edited)))
        name = f"moved-{number:03}" if version == 2 and role == 4 else f"document-{number:03}"
        _write(folder / f"{name}.md", number, lines)
    for number in range(documents, documents + 4 if version == 2 else 0):
        _write(folder / f"document-{number:03}.md", number, _sentences(number, sentences))


def _write(path: Path, number: int, lines: list[str]) -> None:
    middle = len(lines) // 2
    parts = [f"# File {number}", *lines[:middle], "## Abroad", *lines[middle:], "境外取现另收手续费。"]
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _sentences(number: int, count: int) -> list[str]:
    seeded = random.Random(SEED * 100 + number)
    return [" ".join(_sentence(seeded)) for _ in range(count)]


def _sentence(seeded: random.Random) -> list[str]:
    return [f"w{seeded.randrange(_WORDS)}" for _ in range(5)] + ["done."]


QUERIES = (" ".join(_sentence(random.Random(SEED))), "境外取现")


@dataclass(frozen=True)
class State:
    """An index, read row by row.

    Attributes:
        documents: document id -> digest of the document and all rows derived from it.
        vectors: passage id -> vector.
        problems: inconsistent rows.
    """

    documents: Mapping[str, str]
    vectors: Mapping[str, NDArray[np.float32]]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scenario:
    """An ingest of `docs` over the index in `base` (None: no index), with the states before and after."""

    name: str
    docs: Path
    base: Path | None
    before: Mapping[str, str]
    after: State

    def start(self, index_dir: Path) -> None:
        """Set up the state before the ingest."""
        shutil.rmtree(index_dir, ignore_errors=True)
        if self.base is not None:
            shutil.copytree(self.base, index_dir)

    def ingest(self, index_dir: Path) -> IngestReport:
        return ingest(self.docs, index_dir, make_encoder(), max_tokens=MAX_TOKENS)


def make_scenarios(folder: Path) -> list[Scenario]:
    """A first ingest, and an ingest of the second version over an index with a stale FAISS file."""
    for version in (1, 2):
        write_folder(folder / f"docs{version}", version)
    write_folder(folder / "others", 1, documents=3)
    for name in ("docs1", "docs2", "others"):
        ingest(folder / name, folder / f"index-{name}", make_encoder(), max_tokens=MAX_TOKENS)
    first, second = (read_state(folder / f"index-docs{version}") for version in (1, 2))
    shutil.copytree(folder / "index-docs1", folder / "stale")
    shutil.copy(folder / "index-others" / FAISS, folder / "stale" / FAISS)
    return [
        Scenario("first", folder / "docs1", None, {}, first),
        Scenario("changed", folder / "docs2", folder / "stale", first.documents, second),
    ]


def read_state(index_dir: Path) -> State:
    """Raises RetrievalError if the index cannot be read."""
    documents: dict[str, str] = {}
    with PassageStore.open(index_dir / DATABASE) as store, store.reading() as connection:
        stored = store.stored_documents()
        numbers = store.passage_numbers()
        passages, vectors = store.passages_by_number(numbers), store.vectors_by_number(numbers)
        words = {
            row[0]: row[1:]
            for row in connection.execute("SELECT rowid, title, heading, text, bigrams FROM passages_fts")
        }
        parts: dict[str, list[object]] = {name: [store.document(name), stored[name]] for name in stored}
        for number in numbers:
            passage, vector = passages[number], vectors.get(number)
            whole = (passage, None if vector is None else vector.tobytes(), words.get(number))
            parts.setdefault(passage.doc_id, []).append(whole)
        problems = _problems(connection, len(numbers))
    for name, held in parts.items():
        documents[name] = hashlib.sha256(repr(held).encode()).hexdigest()
    by_id = {passages[number].id: vectors[number] for number in numbers if number in vectors}
    return State(documents, by_id, tuple(problems))


def _problems(connection: sqlite3.Connection, passages: int) -> list[str]:
    problems = [f"integrity: {row[0]}" for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
    problems += [f"orphan: {row}" for row in connection.execute("PRAGMA foreign_key_check")]
    for table in ("vectors", "passages_fts"):
        numbers = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        if numbers != passages:
            problems.append(f"{numbers} rows in {table} for {passages} passages")
    return problems


def compare(state: State, scenario: Scenario, committed: set[str]) -> list[str]:
    """Problems of the index that an interrupted ingest left after it committed some documents."""
    problems = list(state.problems)
    for name in sorted({*scenario.before, *scenario.after.documents, *state.documents}):
        before, after = scenario.before.get(name), scenario.after.documents.get(name)
        stored = state.documents.get(name)
        if name in committed and stored != after:
            problems.append(f"lost: {name} was committed")
        elif stored not in (before, after):
            problems.append(f"half: {name}" if stored is not None else f"gone: {name}")
    return problems


def search_problems(
    index: Index, vectors: Mapping[str, NDArray[np.float32]], queries: Sequence[str] = QUERIES
) -> list[str]:
    """Differences between dense search and a comparison of the query with every vector."""
    problems = []
    for query, ranked in zip(queries, index.search_many(queries, _TOP, weights=(1.0, 0.0)), strict=True):
        (query_vector,) = index.encoder.encode_queries([query])
        exact = {name: float(query_vector @ vector) for name, vector in vectors.items()}
        best = sorted(exact.values(), reverse=True)[:_TOP]
        scores = sorted((one.dense for one in ranked), reverse=True)
        if len(scores) != len(best) or not np.allclose(scores, best, atol=1e-5):
            problems.append(f"search {query!r}: {scores} for {best}")
        problems += [
            f"search {query!r}: {one.passage.id} with {one.dense}"
            for one in ranked
            if abs(exact.get(one.passage.id, -2.0) - one.dense) > 1e-5
        ]
    return problems


@dataclass
class Verdict:
    """The result of one interrupted ingest."""

    point: str
    ended: str = ""
    committed: int = 0
    problems: list[str] = field(default_factory=list)


def check(index_dir: Path, scenario: Scenario, committed: set[str]) -> list[str]:
    """Problems after an interrupted ingest, and after a following complete ingest."""
    problems = check_left(index_dir, scenario, committed)
    report = scenario.ingest(index_dir)
    done_before = len(committed & set(scenario.after.documents))
    if report.failed or report.unchanged < done_before:
        problems.append(f"{done_before} documents were committed, but the next ingest says {report}")
    state = read_state(index_dir)
    if state.problems or state.documents != scenario.after.documents:
        problems.append(f"after another ingest: {sorted(state.problems) or 'other documents'}")
    with open_index(index_dir, make_encoder()) as index:
        problems += search_problems(index, scenario.after.vectors, QUERIES[:1])
    return problems


def check_left(index_dir: Path, scenario: Scenario, committed: set[str]) -> list[str]:
    """Problems after an interrupted ingest."""
    if not scenario.before and not committed and not (index_dir / DATABASE).exists():
        return []
    state = read_state(index_dir)
    problems = compare(state, scenario, committed)
    try:
        with open_index(index_dir, make_encoder()) as index:
            problems += search_problems(index, state.vectors, QUERIES[1:])
    except NotIngestedError:
        if state.documents:
            problems.append(f"{len(state.documents)} documents are reported as missing")
    return problems
