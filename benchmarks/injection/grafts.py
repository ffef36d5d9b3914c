"""The domains of the benchmark, and the soft prompts that are trained for it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from benchmarks.injection.attacks import write_attack_file
from benchmarks.injection.systems import PASSAGES_LAST
from benchmarks.script import ROOT
from evaluation.items import Item, spread
from soft_prompt import save_soft_prompt
from softgraft import Domain, open_domain
from softgraft.assembly.passage_cache import FOLDER
from softgraft.settings.domain_file import TrainSettings
from softgraft.sources.shelf import read_source

Half = Literal["first", "second"]
SHARE = 0.5
# One more epoch, with attacks, for the soft prompt that was trained without.
CONTINUED = "continued"
_NO_BUILD = shutil.ignore_patterns("build")


@dataclass(frozen=True)
class Grafts:
    """One example domain, its indexed build folder, and trained copies of it.

    With `PASSAGES_LAST` after its name, a copy of the domain whose own template has the passages after the question.
    """

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
        """The domain with a soft prompt of a method (`soft`, `defended`, ...), which is trained if it was not yet."""
        build = self._build(method, seed, half)
        if not (build / "soft_prompt").is_dir():
            if method == CONTINUED:
                self.trained("soft", seed, half).close()
            self.untrained().close()
            shutil.rmtree(build, ignore_errors=True)
            shutil.copytree(self.work / self.name / "build", build, ignore=shutil.ignore_patterns(FOLDER))
            # The text before the soft slot is the same in every system, and so are its keys and values.
            (build / FOLDER).symlink_to((self.work / self.name / "build" / FOLDER).absolute())
            with closing(self._open(build)) as domain:
                self._train(domain, method, seed, half)
        return self._open(build)

    def _train(self, domain: Domain, method: str, seed: int, half: Half) -> None:
        """Train and keep a soft prompt, even if it is no better than its start: it is what is measured."""
        grafting = domain.grafting(self._settings(domain, method, seed), start=False)
        if method == CONTINUED:
            grafting = replace(grafting, source=read_source(self._build("soft", seed, half)))
        # One epoch leaves nothing to choose on dev.
        count = 8 if method == CONTINUED else self.config["dev"]
        dev = spread([item for item in domain.items("dev") if item.answerable], count)
        trained = grafting.train(grafting.training_set(self.half(domain, half), dev), twin_f1=0.0)
        if grafting.source is not None and not trained.report.kept:
            save_soft_prompt(domain.build / "soft_prompt", trained.soft_prompt, grafting.source.manifest)

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
        if method == CONTINUED:
            changed |= {"epochs": 1, "min_steps": 1, "warmup_steps": 3}
        if method in ("defended", CONTINUED):
            changed["attack_file"] = str(write_attack_file(self.data, self.work / "train-attacks.txt"))
        return TrainSettings.model_validate({**domain.file.train.model_dump(), **changed})

    def _build(self, method: str, seed: int, half: Half) -> Path:
        return self.work / self.name / f"{method}-{half}-{seed}"

    def _open(self, build: Path) -> Domain:
        folder = ROOT / "domains" / self.name.removesuffix(PASSAGES_LAST)
        if self.name.endswith(PASSAGES_LAST):
            folder = shutil.copytree(folder, self.work / self.name / "domain", ignore=_NO_BUILD, dirs_exist_ok=True)
            (folder / "templates").mkdir(exist_ok=True)
            shutil.copy(Path(__file__).with_name("passages_last.en.yaml"), folder / "templates" / "rag-chat.en.yaml")
        domain = open_domain(folder, build=build)
        domain.file = domain.file.model_copy(update={"start": "text-twin"})
        return domain
