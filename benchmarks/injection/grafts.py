"""The domains of the benchmark, and the soft prompts that are trained for it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.injection.attacks import write_attack_file
from benchmarks.script import ROOT
from evaluation.items import Item, spread
from softgraft import Domain, open_domain
from softgraft.assembly.passage_cache import FOLDER
from softgraft.settings.domain_file import TrainSettings

Half = Literal["first", "second"]
SHARE = 0.5


@dataclass(frozen=True)
class Grafts:
    """One example domain, its indexed build folder, and trained copies of it."""

    name: str
    data: Path
    work: Path
    config: Mapping[str, int]

    def untrained(self) -> Domain:
        """The domain with its index, which starts from the text twin."""
        domain = self._open(self.work / self.name / "build")
        if not (domain.build / "evidence.json").is_file():
            domain.ingest()
        (domain.build / FOLDER).mkdir(exist_ok=True)
        return domain

    def trained(self, method: str, seed: int, half: Half = "first") -> Domain:
        """The domain with a soft prompt of a method (`soft`, `defended`, `built-in`), trained if it was not yet."""
        build = self.work / self.name / f"{method}-{half}-{seed}"
        if not (build / "soft_prompt").is_dir():
            self.untrained().close()
            shutil.rmtree(build, ignore_errors=True)
            shutil.copytree(self.work / self.name / "build", build, ignore=shutil.ignore_patterns(FOLDER))
            # What stands before the soft slot has the same keys and values in every system.
            (build / FOLDER).symlink_to((self.work / self.name / "build" / FOLDER).absolute())
            domain = self._open(build)
            grafting = domain.grafting(self._settings(domain, method, seed), start=False)
            dev = spread([item for item in domain.items("dev") if item.answerable], self.config["dev"])
            data = grafting.training_set(self.half(domain, half), dev)
            # Kept whether or not it is better than the text twin: what is measured is the trained soft prompt.
            grafting.train_and_score(data, twin_f1=0.0)
            domain.close()
        return self._open(build)

    def half(self, domain: Domain, half: Half) -> list[Item]:
        """The answerable train questions about every second document, as many as `train` says."""
        items = [item for item in domain.items("train") if item.answerable]
        groups = sorted({item.group for item in items})
        own = set(groups[0 if half == "first" else 1 :: 2])
        return spread([item for item in items if item.group in own], self.config["train"])

    def _settings(self, domain: Domain, method: str, seed: int) -> TrainSettings:
        changed: dict[str, Any] = {"seed": seed}
        if method != "soft":
            changed["attack_share"] = SHARE
        if method == "defended":
            changed["attack_file"] = str(write_attack_file(self.data, self.work / "train-attacks.txt"))
        return TrainSettings.model_validate({**domain.file.train.model_dump(), **changed})

    def _open(self, build: Path) -> Domain:
        domain = open_domain(ROOT / "domains" / self.name, build=build)
        domain.file = domain.file.model_copy(update={"start": "text-twin"})
        return domain
