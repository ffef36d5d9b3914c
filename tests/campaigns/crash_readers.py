"""Processes that read an index while another one writes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from crash_campaign import report_commits
from crash_forks import Report, in_child, start_child
from crash_truth import DATABASE, MAX_TOKENS, QUERIES, make_encoder, write_folder
from numpy.typing import NDArray

from retrieval import Index, Passage, PassageStore, RankedPassage, ingest, open_index

_TOP = 12

Held = dict[str, tuple[Passage, NDArray[np.float32]]]


@dataclass
class Read:
    """What one reader saw: number of searches, revisions, and problems."""

    searches: int = 0
    during: int = 0
    revisions: list[int] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass
class _World:
    """The contents of the index at each revision.

    Attributes:
        states: document id -> the version of the folder it comes from, and the revision that wrote it.
        ends: revisions at which an ingest was complete.
        passages: document id and version -> passages by id, with their vectors.
    """

    states: list[Mapping[str, tuple[int, int]]]
    ends: list[int]
    passages: Mapping[tuple[str, int], Held]

    def at(self, revision: int, since: int | None = None) -> Held:
        """The passages of a revision; with `since` only those that exist since that earlier one."""
        state, earlier = self.states[revision], self.states[revision if since is None else since]
        kept = [(name, written[0]) for name, written in state.items() if earlier.get(name) == written]
        return {name: one for key in kept for name, one in self.passages[key].items()}


def reading_campaign(folder: Path, ingests: int) -> list[Read]:
    """Two processes search while a third ingests two versions of a folder in turn, `ingests` times."""
    for version in (1, 2):
        write_folder(folder / f"docs{version}", version)
    index_dir = folder / "index"
    world = _rehearse(folder, ingests)
    _ingest(folder, index_dir, 0)
    readers = [start_child(partial(_search_on, index_dir, world, reopen)) for reopen in (False, True)]
    for turn in range(1, ingests):
        _ingest(folder, index_dir, turn)
    fates = [reader.wait() for reader in readers]
    assert [fate.ended for fate in fates] == ["exited", "exited"], [fate.error for fate in fates]
    return [Read(**fate.reports[0]) for fate in fates]  # type: ignore[arg-type]


def _version(turn: int) -> int:
    return 1 + turn % 2


def _ingest(folder: Path, index_dir: Path, turn: int) -> None:
    ingest(folder / f"docs{_version(turn)}", index_dir, make_encoder(), max_tokens=MAX_TOKENS)


def _rehearse(folder: Path, ingests: int) -> _World:
    """The same ingests without a reader, to learn the contents of each revision."""
    passages: dict[tuple[str, int], Held] = {}
    for turn in (0, 1):
        _ingest(folder, folder / f"only{turn}", turn)
        with PassageStore.open(folder / f"only{turn}" / DATABASE) as store:
            numbered = store.passages_by_number(store.passage_numbers())
            vectors = store.vectors_by_number(list(numbered))
        for number, passage in numbered.items():
            held = passages.setdefault((passage.doc_id, _version(turn)), {})
            held[passage.id] = (passage, vectors[number])

    def work(report: Report) -> None:
        written: list[object] = []
        report_commits(written.append)
        for turn in range(ingests):
            _ingest(folder, folder / "rehearsal", turn)
            report([turn, written])
            written.clear()

    fate = in_child(work)
    assert fate.ended == "exited", fate.error
    states: list[Mapping[str, tuple[int, int]]] = [{}]
    ends = []
    for turn, written in fate.reports:  # type: ignore[misc]
        for name in written:
            state = {other: held for other, held in states[-1].items() if other != name}
            if (name, _version(turn)) in passages:
                state[name] = (_version(turn), len(states))
            states.append(state)
        ends.append(len(states) - 1)
    return _World(states, ends, passages)


def _search_on(index_dir: Path, world: _World, reopen: bool, report: Report) -> None:
    """Search until the last revision exists, with one open index or a new one per search."""
    read, encoder = Read(), make_encoder()
    index, last = open_index(index_dir, encoder), len(world.states) - 1
    first = after = 0
    while after < last or read.searches < 20:
        query = QUERIES[read.searches % len(QUERIES)]
        first = index._store.revision
        ranked = index.search(query, _TOP, weights=(1.0, 0.0))
        after = index._store.revision
        read.searches += 1
        read.during += after not in world.ends
        read.problems += _problems(index, world, query, ranked, range(first, after + 1))
        if after not in read.revisions:
            read.revisions.append(after)
        if reopen:
            index.close()
            index = open_index(index_dir, encoder)
    index.close()
    report(vars(read))


def _problems(
    index: Index, world: _World, query: str, ranked: list[RankedPassage], revisions: Iterable[int]
) -> list[str]:
    """No problem if the passages are the nearest of those that existed from one of these revisions to another.

    A search during a write ranks what existed at its start, and returns what exists at its end.
    """
    (query_vector,) = index.encoder.encode_queries([query])
    for now in revisions:
        present = world.at(now)
        if any(one.passage.id not in present or present[one.passage.id][0] != one.passage for one in ranked):
            continue
        for since in revisions:
            known = world.at(now, since).values()
            best = sorted((float(query_vector @ vector) for _, vector in known), reverse=True)[:_TOP]
            scores = sorted((one.dense for one in ranked), reverse=True)
            if len(scores) == len(best) and np.allclose(scores, best, atol=1e-5):
                return []
    return [f"revisions {list(revisions)}, {query!r}: {[(one.passage.id, one.dense) for one in ranked]}"]
