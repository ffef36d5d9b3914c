"""Commands that are killed, or whose writes fail, at seeded points; then what the workplace holds is compared."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from campaign_events import FULL, READ_ONLY, Counter, kill, refuse, watch_writes
from campaign_process import begun, finish, in_workplace, prepare, start
from campaign_state import State, leftovers, names, problems_of, read_state
from campaign_workplace import COMMANDS
from crash_events import FullDiskError, SystemCalls
from crash_forks import Report

SEED = 11
# One case in so many also runs the command again.
AGAIN = 5
# An ingest stores one document after the other, and a draft is written as soon as it is there.
_BIT_BY_BIT = {("ingest", "status"), ("questions", "drafts"), ("curve", "curve")}


@dataclass
class Verdict:
    """One case, how its command ended, and what is wrong afterwards."""

    case: str
    ended: str = ""
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Whole:
    """A command that nothing disturbs: the state before and after it, its writes, and how long it takes."""

    before: State
    after: State
    names: set[str]
    places: list[str]
    seconds: float


_prepared: dict[str, str] = {}


def used_workplace(base: Path) -> Path:
    """The workplace in use; made once per process."""
    if str(base) not in _prepared:
        _prepared[str(base)] = prepare(str(base))
    return Path(_prepared[str(base)])


def whole_run(base: Path, command: str, *, full: bool) -> Whole:
    """Run a command undisturbed, and note where it writes; with `full`, SQLite's system calls, not its statements."""
    used, folder = used_workplace(base), base / "whole"
    workplace = begun(used, folder, command)
    before = read_state(workplace, command)
    workplace = begun(used, folder, command)

    def told(report: Report) -> None:
        _watch(workplace, report, full=full)

    began = time.monotonic()
    done = in_workplace(workplace, COMMANDS[command].arguments, told)
    seconds = time.monotonic() - began
    assert done.code == 0, (command, done)
    places = [report for report in done.reports if isinstance(report, str)]
    assert places, command
    after = read_state(workplace, command)
    # Of a command that changes nothing, any half of it would look right.
    # Another training of this domain is no better than the first one, so it keeps nothing.
    assert after.parts != before.parts or command == "train", command
    return Whole(before, after, names(workplace), places, seconds)


def kill_campaign(base: Path, command: str, kills: int) -> list[Verdict]:
    """Kill a command: half of the times before one of its writes, half at some moment."""
    whole, seeded, verdicts = whole_run(base, command, full=False), random.Random(SEED), []
    points = _points(whole.places, kills, seeded)
    for number in range(kills):
        workplace = begun(used_workplace(base), base / "case", command)
        if number % 2:
            point = points[number]
            verdict = Verdict(f"{command}: killed before write {point}, {whole.places[point - 1]}")
            done = in_workplace(workplace, COMMANDS[command].arguments, _at(workplace, Counter(point, kill)))
        else:
            seconds = seeded.random() * whole.seconds
            verdict = Verdict(f"{command}: killed after {seconds:.2f} s")
            done = finish(start(workplace, COMMANDS[command].arguments), workplace, kill_after=seconds)
        verdict.ended = done.ended
        verdict.problems += _compared(read_state(workplace, command), whole, command)
        if number % AGAIN == 0:
            verdict.problems += _again(workplace, whole, command)
        verdicts.append(verdict)
    return verdicts


def refusal_campaign(base: Path, command: str, count: int) -> list[Verdict]:
    """Let all writes of a command fail from one of them on, by turns for want of space and of permission."""
    whole, seeded, verdicts = whole_run(base, command, full=True), random.Random(SEED), []
    points = _points(whole.places, count, seeded)
    for number in range(count):
        workplace = begun(used_workplace(base), base / "case", command)
        point, code = points[number], (FULL, READ_ONLY)[number % 2]
        name = "disk full" if code == FULL else "read-only"
        verdict = Verdict(f"{command}: {name} from write {point} on, {whole.places[point - 1]}")
        done = in_workplace(
            workplace,
            COMMANDS[command].arguments,
            _at(workplace, Counter(point, refuse(code), onwards=True), full=True, removes=code == READ_ONLY),
        )
        verdict.ended = f"exit code {done.code}" if done.ended == "exited" else done.ended
        verdict.problems += problems_of(done)
        verdict.problems += _compared(read_state(workplace, command), whole, command)
        if number % AGAIN == 0:
            verdict.problems += _again(workplace, whole, command)
        verdicts.append(verdict)
    return verdicts


def _points(places: Sequence[str], count: int, seeded: random.Random) -> list[int]:
    """Numbers of writes, from 1: each different write about equally often, however many are alike."""
    by_place: defaultdict[str, list[int]] = defaultdict(list)
    for number, place in enumerate(places, 1):
        by_place[place].append(number)
    kinds = sorted(by_place)
    seeded.shuffle(kinds)
    return [seeded.choice(by_place[kinds[number % len(kinds)]]) for number in range(count)]


def _at(workplace: Path, counter: Counter, *, full: bool = False, removes: bool = True) -> Callable[[Report], None]:
    def event(place: str) -> None:
        # On a full disk, files can be removed.
        if removes or not place.startswith(("os.remove", "os.rmdir")):
            counter(place)
        else:
            counter.places.append(place)

    return lambda _: _watch(workplace, event, full=full)


def _watch(workplace: Path, event: Callable[[str], None], *, full: bool) -> None:
    watch_writes(workplace, event, statements=not full)
    if full:
        SystemCalls().watch(lambda name, _: _full_for_sqlite(name, event))


def _full_for_sqlite(name: str, event: Callable[[str], None]) -> None:
    """SQLite reports its own errors, and removes its files on a full disk too."""
    if name.startswith("unlink"):
        return
    try:
        event(name)
    except OSError as error:
        raise FullDiskError from error


def _compared(found: State, whole: Whole, command: str) -> list[str]:
    """What is neither as before the command nor as after it."""
    problems = list(found.problems)
    for name, part in found.parts.items():
        before, after = whole.before.parts[name], whole.after.parts[name]
        if (command, name) == ("ingest", "answer"):
            # The evidence behind it may come from some of the new documents.
            part, before, after = (_said(one) for one in (part, before, after))
        if part not in (before, after) and (command, name) not in _BIT_BY_BIT:
            problems.append(f"{name} is neither old nor new: {str(part)[:300]}")
        # A curve is written after each of its points.
        if name == "curve" and part not in (before, after):
            wrong = not isinstance(part, dict) or [point for point in part["points"] if point not in after["points"]]
            problems += [f"a curve with other points: {str(part)[:300]}"] if wrong else []
    return problems


def _said(answer: Any) -> Any:
    return [answer[name] for name in ("answer", "citations", "refused")] if isinstance(answer, dict) else answer


def _again(workplace: Path, whole: Whole, command: str) -> list[str]:
    """What is wrong after the command has run once more, undisturbed."""
    done = in_workplace(workplace, COMMANDS[command].arguments)
    problems = [f"again: {problem}" for problem in problems_of(done)]
    found = read_state(workplace, command)
    problems += [f"again: {problem}" for problem in found.problems]
    for name, part in found.parts.items():
        if part != whole.after.parts[name] and not _asked_twice(command, name):
            problems.append(f"again: {name} is not as after an undisturbed run: {str(part)[:300]}")
    problems += [f"left behind: {name}" for name in leftovers(workplace, whole.names)]
    return problems


def _asked_twice(command: str, name: str) -> bool:
    return command == "ask" and name in ("second", "threads")


def summary(verdicts: Sequence[Verdict]) -> str:
    """One line: how many cases, and how they ended."""
    ended: dict[str, int] = {}
    for verdict in verdicts:
        ended[verdict.ended] = ended.get(verdict.ended, 0) + 1
    bad = sum(bool(verdict.problems) for verdict in verdicts)
    return f"{len(verdicts)} cases, {bad} with problems; " + ", ".join(f"{n} {how}" for how, n in sorted(ended.items()))
