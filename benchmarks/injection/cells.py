"""The cells of `injection.py`: a system with a seed on a domain, or on the e-mails."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.injection.attacks import Attack, read_attacks
from benchmarks.injection.grafts import Grafts
from benchmarks.injection.judge import Judgement, judge, read_words, vocabulary_of
from benchmarks.injection.replies import Rows, measure_emails, measure_overrides, measure_replies
from benchmarks.injection.systems import DIRECT, EMAILS, OF_EMAILS, OVERRIDE, PASSAGES_LAST, TRAINED
from benchmarks.injection.verbatim import is_verbatim
from benchmarks.script import ROOT, utc_now, write_results


@dataclass(frozen=True, slots=True)
class Cell:
    """A system with a seed; `group` is a domain, one with overriding attacks, or the e-mails.

    The seed of an untrained system is 0.
    """

    group: str
    system: str
    seed: int

    @property
    def name(self) -> str:
        """The cell in the results of its group."""
        return f"{self.system}, seed {self.seed}" if self.system in TRAINED else self.system

    @classmethod
    def of(cls, group: str, name: str) -> Cell:
        """The cell of a name in the results."""
        system, _, seed = name.partition(", seed ")
        return cls(group, system, int(seed or 0))


@dataclass(frozen=True)
class InjectionCells:
    """Measures and judges cells; replies are in the work folder."""

    data: Path
    work: Path
    config: Mapping[str, int]

    def wanted(
        self,
        domains: Sequence[str],
        systems: Sequence[str],
        seeds: str,
        *,
        override: bool = False,
        emails: bool = False,
        passages_last: bool = False,
    ) -> Iterator[Cell]:
        """The cells of a run, the first seeds of all systems first."""
        for number, seed in enumerate(map(int, seeds.split(","))):
            for group in (f"{domain}{PASSAGES_LAST}" if passages_last else domain for domain in domains):
                own = [one for one in systems if one in TRAINED or number == 0]
                yield from (Cell(group, one, seed) for one in own)
                if override:
                    yield from (Cell(f"{group}{OVERRIDE}", one, seed) for one in own if one != DIRECT)
            if emails and number == 0:
                yield from (Cell(EMAILS, one, seed) for one in systems if one in OF_EMAILS)

    def measure(self, cell: Cell, *, fresh: bool = False) -> None:
        """Make the replies of a cell, unless they are in the work folder."""
        path = self._path(cell)
        if path.is_file() and not fresh:
            return
        attacks, override = read_attacks(self.data, "test"), cell.group.endswith(OVERRIDE)
        name = "bank" if cell.group == EMAILS else cell.group.removesuffix(OVERRIDE)
        if override:
            # Its questions without an attack are the same.
            self.measure(Cell(name, cell.system, cell.seed))
        grafts = Grafts(name, self.data, self.work, self.config)
        with closing(
            grafts.trained(cell.system, cell.seed) if cell.system in TRAINED else grafts.untrained()
        ) as domain:
            if cell.group == EMAILS:
                rows = measure_emails(domain, cell.system, attacks, self.data)
            elif override:
                plain = self.replies(Cell(name, cell.system, cell.seed))["plain"]
                rows = {"plain": plain, **measure_overrides(domain, cell.system, attacks, self.config["test"])}
            else:
                rows = measure_replies(domain, cell.system, attacks, self.config["test"])
        write_results(path, rows)

    def replies(self, cell: Cell) -> dict[str, Rows]:
        """The replies of a cell: `plain` and `attacked`."""
        rows: dict[str, Rows] = json.loads(self._path(cell).read_text(encoding="utf-8"))
        return rows

    def judged(self, cell: Cell) -> dict[str, Any]:
        """The scores and judgements of a cell, in the order of its questions and attacks."""
        rows = self.replies(cell)
        plain = {row["item"]: row for row in rows["plain"]}
        attacked = rows["attacked"]
        found = [self._judge(row, row["reply"]) for row in attacked]
        checked = [self._judge(row, row["shown"] if "shown" in row else row["reply"]) for row in attacked]
        result: dict[str, Any] = {
            "attacks": [row["attack"] for row in attacked],
            "followed": [int(one.followed) for one in found],
            "shown": [int(one.shown) for one in found],
            "followed_checked": [int(one.followed) for one in checked],
            "shown_checked": [int(one.shown) for one in checked],
        }
        if plain:
            # The same judge on the reply to the same question without the attack.
            unattacked = [self._judge(row, plain[row["item"]]["reply"]) for row in attacked]
            result["followed_unattacked"] = [int(one.followed) for one in unattacked]
        if cell.group != EMAILS and cell.system != DIRECT:
            result |= {
                "accuracy": [row["accuracy"] for row in rows["plain"]],
                "f1": [round(row["f1"], 4) for row in rows["plain"]],
                "accuracy_attacked": [row["accuracy"] for row in attacked],
            }
        if cell.system in ("extract", "quote"):
            result["not_verbatim"] = sum(
                not row["refused"] and not is_verbatim(row["reply"], row["evidence"])
                for row in (*rows["plain"], *attacked)
            )
        return {**result, "finished": utc_now()}

    def judged_again(self, cells: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        """All cells whose replies are still there, judged by the present rules."""
        return {
            group: {
                name: self.judged(Cell.of(group, name)) if self._path(Cell.of(group, name)).is_file() else own
                for name, own in named.items()
            }
            for group, named in cells.items()
        }

    def _judge(self, row: Mapping[str, Any], reply: str) -> Judgement:
        return judge(self._attacks[row["attack"]], reply, row["unattacked"], self._vocabulary)

    @cached_property
    def _attacks(self) -> dict[str, Attack]:
        return {attack.id: attack for attack in read_attacks(self.data, "test")}

    @cached_property
    def _vocabulary(self) -> frozenset[str]:
        return vocabulary_of(read_words(sorted((ROOT / "domains").iterdir())))

    def _path(self, cell: Cell) -> Path:
        return self.work / cell.group / "replies" / f"{cell.system.replace(' ', '-')}-{cell.seed}.json"
