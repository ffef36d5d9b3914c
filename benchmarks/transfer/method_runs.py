"""The runs of `methods.py`."""

from __future__ import annotations

import math
import shutil
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.script import utc_now
from benchmarks.tables import difference, estimate, interval_text, print_table
from benchmarks.transfer.held_out import HeldOut, over_seeds
from evaluation.items import spread
from soft_prompt import SlotFill, SoftPrompt, load_soft_prompt
from soft_prompt.training.distributed import init_distributed
from softgraft import Domain
from softgraft.jobs.source import make_source
from softgraft.settings.domain_file import TrainSettings
from softgraft.sources.card import CARD
from softgraft.sources.shelf import read_source
from softgraft.training.grafting import Grafting
from softgraft.training.methods import MethodSources
from softgraft.training.task import Prompted

# The settings of each method; those that are not here are sources made by that method, or plain.
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "plain": {},
    "plain full rate": {"source_rate": 1.0},
    "plain 90 steps": {"min_steps": 90},
    "replay 0.1": {"method": "replay", "replay_share": 0.1},
    "replay 0.25": {"method": "replay"},
    "replay 0.5": {"method": "replay", "replay_share": 0.5},
    "replay 0.5 annealed": {"method": "replay", "replay_share": 0.5, "replay_anneal": True},
    "weighted-replay": {"method": "weighted-replay"},
    "mixture": {"method": "mixture"},
    "shared": {"method": "shared"},
    "distillation": {"method": "distillation"},
    "text twin": {},
    "text twin 10 layers": {"layers": 10},
}
# A source that was trained in all layers cannot be continued in some of them.
FROM_TEXT_TWIN = ("text twin", "text twin 10 layers")
SOURCES: Mapping[str, str] = {"reptile source": "reptile", "shared source": "shared"}
FORGOTTEN = 2


@dataclass(frozen=True)
class MethodRuns:
    """The runs on one domain with one seed."""

    name: str
    others: tuple[str, ...]
    work: Path
    seed: int
    config: Mapping[str, int]

    @property
    def _held_out(self) -> HeldOut:
        return HeldOut(self.name, self.others, self.work, Path(), self.seed, self.config)

    def measure(self, methods: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """The row of each method."""
        with ExitStack() as stack:
            domains = {
                name: stack.enter_context(closing(self._held_out.ingested(name))) for name in (self.name, *self.others)
            }
            target = domains[self.name]
            tests = {self.name: self._test(target, self.config["test"])}
            tests |= {name: self._test(domains[name], self.config["forgotten"]) for name in self.others[:FORGOTTEN]}
            for method in methods:
                yield method, self._row(method, domains, tests)

    def _test(self, domain: Domain, limit: int) -> Prompted:
        """The answerable test questions that reach the model."""
        items = [item for item in spread(domain.items("test"), limit) if item.answerable]
        return domain.grafting(start=False).training_set((), items).dev

    def _row(self, method: str, domains: Mapping[str, Domain], tests: Mapping[str, Prompted]) -> dict[str, Any]:
        target = domains[self.name]
        grafting, trained = self._grafting(method, domains), None
        if method == "start":
            loaded = load_soft_prompt(self._held_out.source_folder / "soft_prompt", target.store.backbone)
            assert loaded is not None
            soft_prompt = loaded[0]
        else:
            data = grafting.training_set(
                spread(target.items("train"), self.config["labels"]), spread(target.items("dev"), self.config["dev"])
            )
            trained = grafting.train(data, twin_f1=0.0)
            soft_prompt = trained.soft_prompt
        row = {name: _scores(grafting, test, soft_prompt) for name, test in tests.items()}
        report = trained.report if trained else None
        return {
            "test": row,
            "dev_f1": report.dev_f1 if report else None,
            "steps": report.steps if report else 0,
            "seconds": round(report.seconds, 1) if report else 0,
            "finished": utc_now(),
        }

    def _grafting(self, method: str, domains: Mapping[str, Domain]) -> Grafting:
        target, source = domains[self.name], self._held_out.source_folder
        if method in SOURCES:
            source = self._source(SOURCES[method], [domains[name] for name in self.others])
        settings = TrainSettings.model_validate(
            {**target.file.train.model_dump(), "seed": self.seed, **SETTINGS.get(method, {})}
        )
        folder = self.work / self.name / f"method-{self.seed}" / method.replace(" ", "-")
        shutil.rmtree(folder, ignore_errors=True)
        if method == "weighted-replay":
            # The domain's soft prompt so far: of plain training if it was kept, else the source.
            plain = folder.parent / "plain" / "soft_prompt"
            shutil.copytree(plain if plain.is_dir() else source / "soft_prompt", folder / "soft_prompt")
        return replace(
            target.grafting(settings, start=False),
            source=None if method in FROM_TEXT_TWIN else read_source(source),
            folder=folder,
            method_sources=MethodSources(
                lambda count: self._replayed(count, domains), lambda: self._mixed(target, source)
            ),
        )

    def _source(self, method: str, others: Sequence[Domain]) -> Path:
        folder = self.work / "sources" / f"{method}-{'-'.join(self.others)}-{self.seed}"
        if not (folder / CARD).is_file():
            settings = others[0].file.train.model_copy(update={"seed": self.seed, "method": method})
            limit, dev = self.config["limit"], self.config["dev"] // 2
            make_source(folder.name, others, folder=folder, limit=limit, dev_limit=dev, settings=settings)
        return folder

    def _replayed(self, count: int, domains: Mapping[str, Domain]) -> Prompted:
        own = math.ceil(count / len(self.others))
        return [
            pair
            for name in self.others
            for pair in domains[name].grafting(start=False).training_set(spread(domains[name].items("train"), own), ())
            .train
        ]  # fmt: skip

    def _mixed(self, target: Domain, source: Path) -> list[SoftPrompt]:
        folders = [source, *(self.work / name / f"own-240-{self.seed}" for name in self.others)]
        loaded = [load_soft_prompt(folder / "soft_prompt", target.store.backbone) for folder in folders]
        return [one[0] for one in loaded if one is not None]


def _scores(grafting: Grafting, test: Prompted, soft_prompt: SlotFill) -> dict[str, list[float]]:
    devices = init_distributed(grafting.chat.store.backbone.device)
    found = grafting.scores(test, soft_prompt, "soft", lambda *_: None, devices)
    return {"f1": [round(one, 4) for one in found.token_f1], "accuracy": found.accuracy}


def print_methods(cells: Mapping[str, Mapping[str, Mapping[str, Mapping[str, Any]]]]) -> None:
    """A row per method, averaged over seeds question by question."""
    rows: list[list[str]] = []
    for name, seeds in cells.items():
        methods = list(dict.fromkeys(method for own in seeds.values() for method in own))
        for method in methods:
            some = [own[method] for own in seeds.values() if method in own]
            # Against plain training with the same seeds.
            plain = [own["plain"] for own in seeds.values() if method in own and "plain" in own]
            f1, accuracy = (over_seeds([row["test"][name] for row in some], score) for score in ("f1", "accuracy"))
            against = over_seeds([row["test"][name] for row in plain], "f1") if len(plain) == len(some) else None
            others = [other for other in some[0]["test"] if other != name]
            forgotten = [statistics.mean(over_seeds([row["test"][other] for row in some], "f1")) for other in others]
            rows.append([
                name, method, str(len(some)), interval_text(estimate(accuracy)), interval_text(estimate(f1)),
                interval_text(difference(f1, against), "+") if against and method != "plain" else "",
                " ".join(f"{other} {value:.3f}" for other, value in zip(others, forgotten, strict=True)),
                f"{statistics.mean(row['seconds'] for row in some):.0f}",
            ])  # fmt: skip
    columns = ("domain", "method", "runs", "accuracy", "token F1", "minus plain", "token F1 of sources", "seconds")
    print_table("methods, test", columns, rows)
