"""Whether a damaged index still returns only correct data, or raises an error."""

from __future__ import annotations

import random
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from crash_damage import Damage, Sources, file_damages, log_damages, mixtures, replacements
from crash_forks import Report, in_child
from crash_truth import (
    DATABASE,
    FAISS,
    MAX_TOKENS,
    QUERIES,
    SEED,
    make_encoder,
    read_state,
    search_problems,
    write_folder,
)
from numpy.typing import NDArray

from retrieval import Document, Index, Passage, PassageStore, RetrievalError, ingest, open_index
from retrieval.store.faiss_record import INDEX_KINDS, IndexKind
from retrieval.vectors import index_kind

_CASES_PER_CHILD = 50


@dataclass(frozen=True)
class Truth:
    """Everything that an index may return.

    Attributes:
        versions: document id -> the versions of the document, each with its passages.
        vectors: passage id -> vector.
        kept: documents that exist in every state.
    """

    versions: Mapping[str, Sequence[tuple[Document, list[Passage]]]]
    vectors: Mapping[str, NDArray[np.float32]]
    kept: frozenset[str]


@dataclass
class Damaged:
    """The outcome of one damage: "right", "refused", "incomplete", "wrong", or how the process ended."""

    damage: str
    outcome: str
    detail: str = ""


@dataclass(frozen=True)
class Case:
    """A damage to a copy of an index, which is then searched for `query`, or read completely."""

    base: Path
    docs: Path
    truth: Truth
    damage: Damage
    seed: str
    ingests: bool = False
    query: str = ""


def damage_campaign(folder: Path, faiss: int, database: int) -> list[Damaged]:
    """Open an index after each of `faiss` damages to its FAISS file and each of `database` to its database."""
    # A small index can then be `pq` as well; its search rescores all vectors, so it is exact.
    index_kind._MIN_FOR_PQ = 0
    cases = _cases(folder, faiss, database)
    results: list[Damaged] = []
    while len(results) < len(cases):
        some = cases[len(results) : len(results) + _CASES_PER_CHILD]
        fate = in_child(partial(_try_all, some, folder / "damaged"), limit=120.0)
        results += [Damaged(*one) for one in fate.reports]  # type: ignore[misc]
        if fate.ended != "exited":
            case = cases[len(results)]
            results.append(Damaged(case.seed, fate.ended, fate.error))
    return results


def _cases(folder: Path, faiss: int, database: int) -> list[Case]:
    for version in (1, 2):
        write_folder(folder / f"docs{version}", version)
    write_folder(folder / "others", 2, documents=9)
    other = folder / "other"
    ingest(folder / "others", other, make_encoder(), max_tokens=MAX_TOKENS)
    cases: list[Case] = []
    bases = [_make_base(folder, kind, other) for kind in INDEX_KINDS]
    around = [*file_damages(FAISS) * 3, *replacements(FAISS), *(None,) * 6]
    for number in range(faiss):
        base, sources, truth = bases[number % len(bases)]
        turn = number // len(bases)
        damage = around[turn % len(around)] or mixtures(sources)[turn % 6]
        cases.append(
            Case(base, folder / "docs2", truth, damage, f"FAISS {number}", number % 10 == 0, QUERIES[number % 2])
        )
    base, sources, truth = bases[0]
    inside = [*file_damages(DATABASE), *file_damages(DATABASE)[2:4] * 4]
    for number in range(database):
        if number % 8 == 0:
            damage = replacements(DATABASE)[number // 8 % 6]
        elif number % 8 == 1:
            damage = log_damages(sources)[number // 8 % 8]
        else:
            damage = inside[number % len(inside)]
        cases.append(Case(base, folder / "docs2", truth, damage, f"database {number}", number % 4 == 0))
    return cases


def _make_base(folder: Path, kind: IndexKind, other: Path) -> tuple[Path, Sources, Truth]:
    older, base, unfinished = folder / f"older-{kind}", folder / f"base-{kind}", folder / f"unfinished-{kind}"
    ingest(folder / "docs1", older, make_encoder(), max_tokens=MAX_TOKENS, index=kind)
    shutil.copytree(older, base)
    before = _contents(base)

    def unclosed(_: Report) -> None:
        close = PassageStore.close
        PassageStore.close = lambda self: None  # type: ignore[method-assign]
        ingest(folder / "docs2", base, make_encoder(), max_tokens=MAX_TOKENS)
        shutil.copytree(base, unfinished)
        PassageStore.close = close  # type: ignore[method-assign]

    assert in_child(unclosed).ended == "exited"
    assert (unfinished / f"{DATABASE}-wal").stat().st_size > 0
    after = _contents(base)
    versions = {name: [state[name] for state in (before, after) if name in state] for name in before | after}
    vectors = {**read_state(older).vectors, **read_state(base).vectors}
    return base, Sources(older, other, unfinished), Truth(versions, vectors, frozenset(before) & frozenset(after))


def _contents(index_dir: Path) -> dict[str, tuple[Document, list[Passage]]]:
    with open_index(index_dir, make_encoder()) as index:
        return {name: (index.document(name), index.document_passages([name])) for name in index.document_ids()}


def _try_all(cases: Sequence[Case], folder: Path, report: Report) -> None:
    for case in cases:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(case.base, folder)
        damage = f"{case.seed}: {case.damage(folder, random.Random(f'{SEED} {case.seed}'))}"
        outcome, detail = _judge(case, folder)
        report((damage, outcome, detail))


def _judge(case: Case, folder: Path) -> tuple[str, str]:
    try:
        if case.ingests:
            ingest(case.docs, folder, make_encoder(), max_tokens=MAX_TOKENS)
        with open_index(folder, make_encoder()) as index:
            wrong, missing = _dense_problems(index, case) if case.query else _problems(index, case.truth)
    except RetrievalError as error:
        return "refused", f"{type(error).__name__}: {error}"
    if wrong:
        return "wrong", "; ".join(wrong)[:2000]
    return ("incomplete", "; ".join(missing)[:2000]) if missing else ("right", "")


def _dense_problems(index: Index, case: Case) -> tuple[list[str], list[str]]:
    vectors = {passage.id: case.truth.vectors[passage.id] for passage in index.passages()}
    return search_problems(index, vectors, [case.query]), []


def _problems(index: Index, truth: Truth) -> tuple[list[str], list[str]]:
    """What the index returns although it is wrong, and what it lacks."""
    documents = {name: index.document(name) for name in index.document_ids()}
    passages = {name: index.document_passages([name]) for name in documents}
    listed = list(index.passages())
    true = {one.id: one for held in truth.versions.values() for _, some in held for one in some}
    whole = [(documents[name], passages[name]) in truth.versions.get(name, ()) for name in documents]
    missing = [
        f"{name} has passages {passages[name]}" for name, right in zip(documents, whole, strict=True) if not right
    ]
    missing += [f"no {name}" for name in truth.kept - set(documents)]
    returned = [one for held in passages.values() for one in held]
    if sorted(one.id for one in listed) != sorted(one.id for one in returned):
        missing.append("the listed passages are not those of the documents")
    wrong = [
        f"document {name} is {document}"
        for name, document in documents.items()
        if document not in [one for one, _ in truth.versions.get(name, ())] or document.id != name
    ]
    scores = []
    for weights in ((1.0, 0.0), (1.0, 0.5), (0.0, 1.0)):
        for query, ranked in zip(QUERIES, index.search_many(QUERIES, 12, weights=weights), strict=True):
            returned += [one.passage for one in ranked]
            (query_vector,) = index.encoder.encode_queries([query])
            scores += [
                (one.passage.id, one.dense, float(query_vector @ truth.vectors[one.passage.id])) for one in ranked
            ]
    wrong += [f"passage {one}" for one in (*listed, *returned) if true.get(one.id) != one]
    wrong += [f"{name} has {score}, not {exact}" for name, score, exact in scores if abs(score - exact) > 1e-5]
    missing += search_problems(index, {one.id: truth.vectors[one.id] for one in listed})
    return wrong, missing
