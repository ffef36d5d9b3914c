"""The cells of `zero_labels.py`."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.answers.form_cells import domain_folder
from benchmarks.script import utc_now
from benchmarks.tables import difference, estimate, interval_text, print_table
from evaluation import System, evaluate
from evaluation.items import spread
from evaluation.systems import SystemAnswers
from softgraft import Domain, open_domain
from softgraft.jobs.source import make_source
from softgraft.sources.card import CARD
from softgraft.sources.shelf import read_source

TWIN, QUOTE, SOURCE = "text twin", "quote", "source"
Rows = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class HeldOut:
    """One domain that no source is trained on, with one seed; each method measures a cell.

    `of` names the sources in the table, if they are not the example domains.
    """

    name: str
    others: tuple[str, ...]
    work: Path
    data: Path
    seed: int
    config: Mapping[str, int]
    of: str = ""

    def untrained(self, _labels: int) -> dict[str, Any]:
        """The text twin, and the quote."""
        with closing(self.ingested(self.name)) as domain:
            systems = [
                System(TWIN, domain.answering("text-twin", form="generate"), "retrieved"),
                System(QUOTE, domain.answering("text-twin", form="quote"), "retrieved"),
            ]
            return {"rows": self._rows(domain, systems), "finished": utc_now()}

    def source(self, _labels: int) -> dict[str, Any]:
        """A source of the other domains."""
        with ExitStack() as stack:
            domains = [stack.enter_context(closing(self.ingested(name))) for name in self.others]
            settings = domains[0].file.train.model_copy(update={"seed": self.seed})
            report = None
            if not (self.source_folder / CARD).is_file():
                report = make_source(
                    self.source_folder.name,
                    domains,
                    folder=self.source_folder,
                    limit=self.config["limit"],
                    dev_limit=self.config["dev"],
                    settings=settings,
                )
        kept = (self.source_folder / CARD).is_file()
        with closing(self._started(str(self.source_folder) if kept else "text-twin")) as domain:
            rows = self._rows(
                domain, [System(f"{SOURCE}{self.of}", domain.answering(domain.graft, form="generate"), "retrieved")]
            )
        card = read_source(self.source_folder).card if kept else None
        return {
            "kept": card is not None,
            "examples": sum(one.questions for one in card.domains) if card else None,
            "seconds": round(report.training.seconds) if report else round(card.seconds) if card else None,
            "rows": rows,
            "finished": utc_now(),
        }

    def own(self, labels: int) -> dict[str, Any]:
        """A soft prompt trained on the domain's own questions from the text twin."""
        return self._trained(labels, "text-twin", f"own {labels}", f"own-{labels}")

    def continued(self, labels: int) -> dict[str, Any]:
        """A soft prompt trained on the domain's own questions from the source."""
        return self._trained(
            labels, str(self.source_folder), f"{SOURCE}{self.of}, then {labels}", f"continued-{labels}"
        )

    def continued_at_full_rate(self, labels: int) -> dict[str, Any]:
        """The same at the learning rate of a training from the text twin."""
        system = f"{SOURCE}{self.of}, then {labels} at full rate"
        return self._trained(labels, str(self.source_folder), system, f"full-{labels}", {"source_rate": 1.0})

    @property
    def source_folder(self) -> Path:
        """The source of the other domains."""
        return (self.work / "sources" / f"{'-'.join(self.others)}-{self.seed}").absolute()

    def _trained(
        self, labels: int, start: str, system: str, folder: str, changed: Mapping[str, float] | None = None
    ) -> dict[str, Any]:
        build = self.work / self.name / f"{folder}-{self.seed}"
        shutil.rmtree(build, ignore_errors=True)
        self.ingested(self.name).close()
        shutil.copytree(self.work / self.name / "build", build)
        with closing(self._started(start, build)) as domain:
            settings = domain.file.train.model_copy(update={"seed": self.seed, **(changed or {})})
            report = domain.train(limit=labels, dev_limit=self.config["dev"] * 2, settings=settings)
            systems = [System(system, domain.answering(domain.graft, form="generate"), "retrieved")]
            rows = self._rows(domain, systems)
        return {
            "kept": report.kept,
            "examples": report.examples,
            "dev_f1": report.dev_f1,
            "seconds": round(report.seconds),
            "rows": rows,
            "finished": utc_now(),
        }

    def _started(self, start: str, build: Path | None = None) -> Domain:
        """The held-out domain, which starts from this source, or from the text twin."""
        return self._open(self.name, start, build or self.work / self.name / "build")

    def ingested(self, name: str) -> Domain:
        """A domain with its index, which starts from the text twin."""
        domain = self._open(name, "text-twin", self.work / name / "build")
        domain.ingest()
        return domain

    def _open(self, name: str, start: str, build: Path) -> Domain:
        domain = open_domain(domain_folder(name, self.data, self.work), build=build)
        # Every set reads one template, so that a source fits it; the form that is measured is the model's own words.
        answer = domain.file.answer.model_copy(update={"form": "generate"})
        update = {"start": start, "task": "chat", "template": "rag-chat", "answer": answer}
        domain.file = domain.file.model_copy(update=update)
        return domain

    def _rows(self, domain: Domain, systems: Sequence[System]) -> Rows:
        items = [item for item in spread(domain.items("test"), self.config["test"]) if item.answerable]
        _, answers = evaluate(items, systems, None, {})
        return {one.system: _row(one) for one in answers}


def _row(answers: SystemAnswers) -> dict[str, Any]:
    return {
        "accuracy": [one.accuracy or 0.0 for one in answers.answers],
        "f1": [round(one.f1 or 0.0, 4) for one in answers.answers],
        "seconds": answers.seconds,
    }


def print_cells(cells: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
    """A row per held-out domain and system, averaged over seeds question by question."""
    rows: list[list[str]] = []
    for name, own in cells.items():
        scores: dict[str, list[Mapping[str, Any]]] = {}
        for measured in own.values():
            for system, row in measured["rows"].items():
                scores.setdefault(system, []).append(row)
        twin = over_seeds(scores[TWIN], "f1") if TWIN in scores else None
        for system, some in scores.items():
            f1 = over_seeds(some, "f1")
            gain = difference(f1, twin) if twin is not None and system != TWIN else None
            seconds = statistics.mean(row["seconds"] for row in some)
            rows.append([
                name, system, str(len(some)), interval_text(estimate(over_seeds(some, "accuracy"))),
                interval_text(estimate(f1)), interval_text(gain, "+"), f"{seconds:.2f}",
            ])  # fmt: skip
    columns = ("held out", "system", "runs", "accuracy", "token F1", "token F1 minus text twin", "seconds")
    print_table("few labels or none, test", columns, rows)


def over_seeds(rows: Sequence[Mapping[str, Any]], score: str) -> list[float]:
    """The mean over the runs for each question."""
    return [statistics.mean(values) for values in zip(*(row[score] for row in rows), strict=True)]
