"""The tables of `injection.py`, and the sample that is checked by hand."""

from __future__ import annotations

import json
import random
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.injection.cells import Cell, InjectionCells
from benchmarks.injection.systems import DIRECT, EMAILS, OVERRIDE
from benchmarks.tables import difference, estimate, interval_text, print_table

Cells = Mapping[str, Mapping[str, Mapping[str, Any]]]
# For each attack the values of all runs.
ByAttack = dict[str, list[float]]
BASELINES = (("continued", "soft"), ("defended", "soft"), ("built-in", "soft"), ("soft", "text twin"))
COLUMNS = ("system", "runs", "follows the attack", "judge without attack", "shows its words", "after the check",
           "accuracy", "token F1", "accuracy attacked")  # fmt: skip


def print_results(cells: Cells, judged: Path) -> None:
    """A table for each domain, for both, and for the e-mails; differences; categories; the judge's errors."""
    domains = [group for group in cells if group != EMAILS and not group.endswith(OVERRIDE)]
    for group in cells:
        _print_systems(group, {group: cells[group]})
    if len(domains) > 1:
        _print_systems(" and ".join(domains), {name: cells[name] for name in domains})
    _print_differences({name: cells[name] for name in domains})
    if any(group.endswith(OVERRIDE) for group in cells):
        print("with overriding attacks:")
        _print_differences({name: own for name, own in cells.items() if name.endswith(OVERRIDE)})
    _print_categories({name: cells[name] for name in domains})
    if judged.is_file():
        _print_errors(judged)


def _print_systems(title: str, cells: Cells) -> None:
    rows = []
    for system in _systems(cells):
        own = _runs(cells, system)
        followed, without, shown, checked = (
            _mean_by_attack(own, key) for key in ("followed", "followed_unattacked", "shown", "followed_checked")
        )
        rows.append([
            system, str(len(own)), interval_text(estimate(followed)),
            interval_text(estimate(without)) if without else "-", interval_text(estimate(shown)),
            "-" if system in (DIRECT, "extract", "quote") else interval_text(estimate(checked)),
            *(_plain(cells, system, key) for key in ("accuracy", "f1", "accuracy_attacked")),
        ])  # fmt: skip
    print_table(title, COLUMNS, rows)
    for system in ("extract", "quote"):
        if some := [run["not_verbatim"] for run in _runs(cells, system)]:
            print(f"replies of {system} that are not text of the evidence: {sum(some)}")


def _print_differences(cells: Cells) -> None:
    """Paired over attacks or questions; a question is averaged over the seeds that both have."""
    rows = []
    for ours, theirs in BASELINES:
        shared = {name: _shared(own, ours, theirs) for name, own in cells.items()}
        if not any(shared.values()):
            continue
        pairs = [pair for own in shared.values() for pair in own]
        followed = [_by_attack([pair[side] for pair in pairs], "followed") for side in (0, 1)]
        means = [[statistics.mean(values) for _, values in sorted(one.items())] for one in followed]
        plain = []
        for key in ("accuracy", "f1"):
            sides = [
                [
                    value
                    for own in shared.values() if own
                    for value in map(statistics.mean, zip(*(pair[side][key] for pair in own), strict=True))
                ]
                for side in (0, 1)
            ]  # fmt: skip
            plain.append(difference(sides[0], sides[1]))
        ratio = statistics.mean(means[0]) / statistics.mean(means[1]) if any(means[1]) else float("nan")
        rows.append([
            f"{ours} minus {theirs}", str(len(pairs)), interval_text(difference(*means), "+"), f"{ratio:.2f}",
            *(interval_text(one, "+") for one in plain),
        ])  # fmt: skip
    print_table("differences", ("", "runs", "follows the attack", "ratio", "accuracy", "token F1"), rows)


def _print_categories(cells: Cells) -> None:
    systems = [system for system in _systems(cells) if system not in ("extract", "quote")]
    shares: dict[str, dict[str, float]] = {}
    for system in systems:
        for attack, values in _by_attack(_runs(cells, system), "followed").items():
            category = attack.removeprefix("text-test-").rsplit("-", 1)[0]
            shares.setdefault(category, {}).setdefault(system, 0.0)
            shares[category][system] += statistics.mean(values) / 5
    rows = [[name, *(f"{own.get(system, 0):.2f}" for system in systems)] for name, own in shares.items()]
    print_table("follows the attack, by category", ("category", *systems), rows)


def _print_errors(judged: Path) -> None:
    rows = [json.loads(line) for line in judged.read_text(encoding="utf-8").splitlines()]
    table = []
    for followed in (True, False):
        own = [row["label"] is not row["followed"] for row in rows if row["followed"] is followed]
        if own:
            verdict = "followed" if followed else "not followed"
            table.append([verdict, str(len(own)), str(sum(own)), interval_text(estimate(list(map(float, own))))])
    print_table("judgements checked by reading", ("judged", "replies", "wrong", "share"), table)


def write_sample(cells: InjectionCells, measured: Cells, count: int, path: Path) -> None:
    """Write replies with their judgements, half of them of followed attacks, spread over the cells; without labels."""
    rng, pools = random.Random(0), {True: [], False: []}  # type: ignore[var-annotated]
    for group, named in measured.items():
        for name, own in named.items():
            cell = Cell.of(group, name)
            if cell.system in ("extract", "quote"):
                continue
            for row, followed in zip(cells.replies(cell)["attacked"], own["followed"], strict=True):
                known = {"group": group, "cell": name, "attack": row["attack"], "item": row["item"]}
                pools[bool(followed)].append({**known, "reply": row["reply"], "followed": bool(followed)})
    sample = [row for pool in pools.values() for row in rng.sample(pool, min(len(pool), count // 2))]
    rng.shuffle(sample)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in sample), encoding="utf-8")


def _systems(cells: Cells) -> list[str]:
    return list(dict.fromkeys(Cell.of(group, name).system for group, own in cells.items() for name in own))


def _runs(cells: Cells, system: str) -> list[Mapping[str, Any]]:
    return [run for group, own in cells.items() for name, run in own.items() if Cell.of(group, name).system == system]


def _shared(own: Mapping[str, Mapping[str, Any]], ours: str, theirs: str) -> list[tuple[Any, Any]]:
    """The runs of two systems with the same seed; one without seeds is compared with each."""
    pairs = []
    for name, run in own.items():
        system, _, seed = name.partition(", seed ")
        other = own.get(f"{theirs}, seed {seed}", own.get(theirs))
        if system == ours and other is not None:
            pairs.append((run, other))
    return pairs


def _by_attack(runs: Sequence[Mapping[str, Any]], key: str) -> ByAttack:
    found: ByAttack = {}
    for run in runs:
        for attack, value in zip(run["attacks"], run.get(key, ()), strict=False):
            found.setdefault(attack, []).append(value)
    return found


def _mean_by_attack(runs: Sequence[Mapping[str, Any]], key: str) -> list[float]:
    return [statistics.mean(values) for _, values in sorted(_by_attack(runs, key).items())]


def _plain(cells: Cells, system: str, key: str) -> str:
    """The mean over seeds of each question's score, over the questions of all domains."""
    values: list[float] = []
    for group, own in cells.items():
        some = [run[key] for run in _runs({group: own}, system) if key in run]
        values += map(statistics.mean, zip(*some, strict=True))
    return interval_text(estimate(values)) if values else "-"
