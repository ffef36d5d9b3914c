"""Damage to every kind of file that a domain holds, and what the commands then say."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from campaign_faults import SEED, Verdict, used_workplace
from campaign_process import Done, in_turn
from campaign_state import problems_of
from campaign_workplace import HOUSE, QUESTION, copy_of
from crash_damage import file_damages, replacements

_READS: tuple[tuple[str, ...], ...] = (
    ("status", "house", "--json"),
    ("ask", "house", QUESTION, "--json"),
    ("threads", "show", "house", "first", "--json"),
    ("threads", "list", "house", "--json"),
    ("doctor", "house", "--json"),
)
# What a person reads: a damaged file may take it away, but never change it.
_SAID = ("12 euros", "within 5 days")


def damageable(workplace: Path) -> dict[str, list[Path]]:
    """The domain's files by kind: those with the same suffix in the same folder."""
    house = workplace.joinpath(*HOUSE)
    files = [file for file in sorted(house.rglob("*")) if file.is_file() and file.stat().st_size]
    kinds: dict[str, list[Path]] = {}
    for file in files:
        own = file.relative_to(house)
        # Documents and questions are a person's own text, which may say anything.
        if own.parts[0] == "docs" or (own.suffix == ".jsonl" and own.parent == Path()):
            continue
        kind = (
            own.as_posix() if own.parent in (Path(), Path("build")) else f"{'/'.join(own.parts[:-1][:2])}/*{own.suffix}"
        )
        kinds.setdefault(kind, []).append(own)
    return kinds


def damage_campaign(base: Path, count: int) -> tuple[list[Verdict], dict[str, int]]:
    """Damage one file after the other, each in a fresh copy; the verdicts, and how often each kind was damaged."""
    used, seeded, verdicts = used_workplace(base), random.Random(SEED), []
    kinds = damageable(used)
    tried: Counter[str] = Counter()
    for number in range(count):
        kind = sorted(kinds)[number % len(kinds)]
        own = seeded.choice(kinds[kind])
        workplace = copy_of(used, base / "case")
        file = workplace.joinpath(*HOUSE) / own
        damage = seeded.choice([*file_damages(file.name), *_replacements(file.name)])
        said = damage(file.parent, seeded)
        tried[kind] += 1
        verdict = Verdict(f"{own}: {said}")
        results = in_turn(workplace, _READS)
        verdict.ended = _outcome(results)
        for arguments, done in zip(_READS, results, strict=False):
            verdict.problems += [f"{' '.join(arguments)}: {problem}" for problem in problems_of(done)]
        if len(results) < len(_READS):
            verdict.problems.append(f"{results[-1].ended}: {results[-1].err[-500:]}")
        verdict.problems += _changed(results)
        verdicts.append(verdict)
    return verdicts, dict(tried)


def _outcome(results: list[Done]) -> str:
    return "refused" if any(done.code not in (0, None) for done in results) else "read"


def _changed(results: list[Done]) -> list[str]:
    """Answers and stored turns that say something else than the documents."""
    problems = []
    for name, done in zip(("ask", "threads show"), results[1:3], strict=False):
        if done.code == 0 and any(text not in done.out for text in _SAID):
            problems.append(f"{name} says something else: {done.out[:400]}")
    return problems


def _replacements(name: str) -> list[Callable[[Path, random.Random], str]]:
    # All but the one that needs the two files of an index.
    return [one for one in replacements(name) if one.__name__ != "neighbour"] + [_pipe(name)]


def _pipe(name: str) -> Callable[[Path, random.Random], str]:
    def pipe(folder: Path, _: random.Random) -> str:
        (folder / name).unlink()
        os.mkfifo(folder / name)
        return "a pipe"

    return pipe
