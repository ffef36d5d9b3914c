"""The cells of `zero_labels.py`."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from benchmarks.script import ROOT, utc_now
from benchmarks.tables import difference, estimate, interval_text, print_table
from evaluation import System, evaluate
from evaluation.items import spread
from evaluation.systems import SystemAnswers
from softgraft import Domain, open_domain
from softgraft.assembly.answers import make_speaker
from softgraft.jobs.source import make_source
from softgraft.sources.shelf import read_source


def measure_source(
    held_out: str, others: Sequence[str], work: Path, seed: int, config: Mapping[str, int]
) -> dict[str, Any]:
    """A source of the other domains, asked the test questions of this one."""
    with ExitStack() as stack:
        opened = {name: stack.enter_context(closing(_ingested(name, work))) for name in (held_out, *others)}
        settings = opened[others[0]].file.train.model_copy(update={"seed": seed})
        folder = work / "sources" / f"without-{held_out}-{seed}"
        report = make_source(
            f"without-{held_out}",
            [opened[name] for name in others],
            folder=folder,
            limit=config["limit"],
            dev_limit=config["dev"],
            settings=settings,
        )
        domain = opened[held_out]
        twin = domain.answering("text-twin", form="generate")
        systems = [
            System("text twin", twin, "retrieved"),
            System("quote", domain.answering("text-twin", form="quote"), "retrieved"),
        ]
        if report.card is not None:
            speaker = make_speaker(
                "source", domain.file, domain.build, domain.template, lambda: domain.store, held_out,
                read_source(folder),
            )  # fmt: skip
            systems.append(System("source", domain.answering("source", form="generate", speaker=speaker), "retrieved"))
        rows = _rows(domain, systems, config["test"])
    training = report.training
    return {
        "kept": report.card is not None,
        "examples": training.examples,
        "seconds": round(training.seconds),
        "dev_f1": training.dev_f1,
        "dev_f1_text_twin": training.dev_f1_text_twin,
        "rows": rows,
        "finished": utc_now(),
    }


def measure_own(name: str, labels: int, work: Path, seed: int, config: Mapping[str, int]) -> dict[str, Any]:
    """A soft prompt trained on the domain's own questions."""
    build = work / name / f"own-{labels}-{seed}"
    if not build.exists():
        _ingested(name, work).close()
        shutil.copytree(work / name / "build", build)
    with closing(_text_twin_start(name, build)) as domain:
        settings = domain.file.train.model_copy(update={"seed": seed})
        report = domain.train(limit=labels, dev_limit=config["dev"] * 2, settings=settings)
        systems = [System("own", domain.answering(domain.graft, form="generate"), "retrieved")]
        rows = _rows(domain, systems, config["test"])
    return {"kept": report.kept, "seconds": round(report.seconds), "rows": rows, "finished": utc_now()}


def _text_twin_start(name: str, build: Path) -> Domain:
    domain = open_domain(ROOT / "domains" / name, build=build)
    domain.file = domain.file.model_copy(update={"start": "text-twin"})
    return domain


def _ingested(name: str, work: Path) -> Domain:
    domain = _text_twin_start(name, work / name / "build")
    domain.ingest()
    return domain


def _rows(domain: Domain, systems: Sequence[System], limit: int) -> dict[str, Any]:
    items = [item for item in spread(domain.items("test"), limit) if item.answerable]
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
        for cell, measured in own.items():
            for system, row in measured["rows"].items():
                label = cell.partition(",")[0] if system == "own" else system
                scores.setdefault(label, []).append(row)
        twin = _over_seeds(scores["text twin"], "f1") if "text twin" in scores else None
        for system, some in scores.items():
            f1 = _over_seeds(some, "f1")
            gain = difference(f1, twin) if twin is not None and system != "text twin" else None
            seconds = statistics.mean(row["seconds"] for row in some)
            rows.append([
                name, system, str(len(some)), interval_text(estimate(_over_seeds(some, "accuracy"))),
                interval_text(estimate(f1)), interval_text(gain, "+"), f"{seconds:.2f}",
            ])  # fmt: skip
    columns = ("held out", "system", "runs", "accuracy", "token F1", "token F1 minus text twin", "seconds")
    print_table("zero labels, test", columns, rows)


def _over_seeds(rows: Sequence[Mapping[str, Any]], score: str) -> list[float]:
    return [statistics.mean(values) for values in zip(*(row[score] for row in rows), strict=True)]
