"""Ingests interrupted at seeded points, each followed by a check of the index.

Runs in a process with everything imported and a single thread, so that a fork can ingest at once.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crash_events import EventKind, FullDiskError, SystemCalls, drop_transactions, watch
from crash_forks import Report, in_child
from crash_truth import SEED, Scenario, Verdict, check, make_scenarios

from retrieval import PassageStore, RetrievalError

COUNTED: tuple[EventKind, ...] = ("line", "statement", "system call", "torn write")


@dataclass(frozen=True)
class Point:
    """The point at which an ingest is interrupted: before the `count`-th event of a kind."""

    kind: EventKind
    count: int
    place: str

    def __str__(self) -> str:
        return f"{self.kind} {self.count} ({self.place})"


def kill_campaign(folder: Path, instants: int, each: int, *, transactions: bool = True) -> list[Verdict]:
    """Kill ingests with SIGKILL: per scenario, at `instants` points in time and at `each` events of every kind.

    Without `transactions`, the killed ingests write without transactions.
    """
    verdicts = []
    seeded = random.Random(SEED)
    for scenario in make_scenarios(folder / "scenarios"):
        index_dir = folder / "index"
        for kind in COUNTED if each else ():
            places = _places(scenario, index_dir, kind)
            for point in _choose(kind, places, each, seeded):
                verdicts.append(_kill_at(scenario, index_dir, point, transactions))
        for _ in range(instants):
            verdicts.append(_kill_after(scenario, index_dir, seeded.random()))
    return verdicts


def full_campaign(folder: Path, each: int) -> list[Verdict]:
    """Fill the disk from the n-th system call of SQLite on, or from some byte of the FAISS file on."""
    verdicts = []
    seeded = random.Random(SEED)
    for scenario in make_scenarios(folder / "scenarios"):
        index_dir = folder / "index"
        places = _places(scenario, index_dir, "system call")
        growing = [number for number, place in enumerate(places, 1) if not place.startswith("unlink")]
        for count in sorted(seeded.sample(growing, each)):
            verdicts.append(_fill(scenario, index_dir, f"system call {count}", lambda count=count: _full_from(count)))
        for _ in range(each // 2):
            limit = seeded.randrange(50_000)
            verdicts.append(_fill(scenario, index_dir, f"FAISS {limit}", lambda limit=limit: _full_in_faiss(limit)))
    return verdicts


def _places(scenario: Scenario, index_dir: Path, kind: EventKind) -> list[str]:
    """The locations of all events of a kind in an uninterrupted ingest."""

    def work(report: Report) -> None:
        places: list[str] = []
        watch(kind, places.append)
        scenario.ingest(index_dir)
        report(places)

    scenario.start(index_dir)
    fate = in_child(work)
    assert fate.ended == "exited", fate
    places = fate.reports[0]
    assert isinstance(places, list)
    assert places, f"no {kind} was seen"
    return places


def _choose(kind: EventKind, places: Sequence[str], count: int, seeded: random.Random) -> list[Point]:
    """Half of the points evenly over the run, half evenly over the distinct locations, some of which occur once."""
    numbers = seeded.sample(range(1, len(places) + 1), min(count // 2, len(places)))
    by_place: defaultdict[str, list[int]] = defaultdict(list)
    for number, place in enumerate(places, 1):
        by_place[place].append(number)
    names = sorted(by_place)
    seeded.shuffle(names)
    for turn in range(count - len(numbers)):
        numbers.append(seeded.choice(by_place[names[turn % len(names)]]))
    return [Point(kind, number, places[number - 1]) for number in numbers]


def _kill_at(scenario: Scenario, index_dir: Path, point: Point, transactions: bool) -> Verdict:
    passed = 0

    def event(_: str) -> None:
        nonlocal passed
        passed += 1
        if passed == point.count:
            os.kill(os.getpid(), signal.SIGKILL)

    def work(report: Report) -> None:
        if not transactions:
            drop_transactions()
        report_commits(report)
        watch(point.kind, event)
        scenario.ingest(index_dir)

    scenario.start(index_dir)
    return _judged(scenario, index_dir, Verdict(f"{scenario.name}: {point}"), in_child(work))


def _kill_after(scenario: Scenario, index_dir: Path, share: float) -> Verdict:
    def work(report: Report) -> None:
        report_commits(report)
        scenario.ingest(index_dir)

    while True:
        # Measure the duration each time: other processes may slow this one down.
        scenario.start(index_dir)
        began = time.monotonic()
        in_child(work)
        seconds = share * (time.monotonic() - began)
        scenario.start(index_dir)
        fate = in_child(work, kill_after=seconds)
        if fate.ended != "exited":
            return _judged(scenario, index_dir, Verdict(f"{scenario.name}: after {1000 * seconds:.1f} ms"), fate)


def _fill(scenario: Scenario, index_dir: Path, name: str, fill: Callable[[], None]) -> Verdict:
    def work(report: Report) -> None:
        report_commits(report)
        fill()
        try:
            scenario.ingest(index_dir)
        except RetrievalError as error:
            report(f"refused: {error}")

    scenario.start(index_dir)
    return _judged(scenario, index_dir, Verdict(f"{scenario.name}: full at {name}"), in_child(work))


def _judged(scenario: Scenario, index_dir: Path, verdict: Verdict, fate: Any) -> Verdict:
    reports = Counter(fate.reports)
    committed = {name for name in reports if not name.startswith("refused: ")}
    verdict.ended = next((name for name in reports if name.startswith("refused: ")), fate.ended)
    verdict.committed = len(committed)
    checked = in_child(lambda report: report(check(index_dir, scenario, committed)))
    if checked.ended == "exited":
        verdict.problems = checked.reports[0]  # type: ignore[assignment]
    else:
        verdict.problems = [f"the check {checked.ended}: {checked.error}"]
    if fate.error:
        verdict.problems.append(fate.error)
    return verdict


def report_commits(report: Report) -> None:
    """Report the id of each document as soon as the store has written or deleted it."""
    replace, delete = PassageStore.replace_document, PassageStore.delete_document

    def replaced(self: PassageStore, document: Any, *rest: Any, **named: Any) -> None:
        replace(self, document, *rest, **named)
        report(document.id)

    def deleted(self: PassageStore, doc_id: str) -> bool:
        there = delete(self, doc_id)
        report(doc_id)
        return there

    PassageStore.replace_document = replaced  # type: ignore[method-assign]
    PassageStore.delete_document = deleted  # type: ignore[method-assign]


def _full_from(count: int) -> None:
    passed = 0

    def event(name: str, _: object) -> None:
        nonlocal passed
        passed += 1
        if passed >= count and not name.startswith("unlink"):
            raise FullDiskError

    SystemCalls().watch(event)


def _full_in_faiss(limit: int) -> None:
    """Once the FAISS file is created, no file may grow beyond `limit` bytes."""
    import sys

    def begun(name: str, arguments: tuple[Any, ...]) -> None:
        if name == "tempfile.mkstemp":
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    sys.addaudithook(begun)
