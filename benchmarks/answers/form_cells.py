"""The domains and the measuring of `answer_forms.py`."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.script import ROOT, utc_now
from benchmarks.tables import difference, estimate, interval_text, print_table
from chains.answering.answer_writer import AnswerForm
from evaluation import fit_refusal_classifier
from evaluation.items import spread
from evaluation.run import evaluate
from evaluation.systems import ScoredAnswer, System, SystemAnswers
from softgraft import open_domain
from softgraft.assembly.answer_form import CANDIDATES
from softgraft.assembly.answers import Graft, answer_settings
from softgraft.domain import Domain
from softgraft.jobs.create import create_domain

DOMAINS = ("bank", "clinic", "college", "playhouse")
CHAT = ("mtrag",)


def measure_form_cell(name: str, data: Path, work: Path, seed: int | None, config: Mapping[str, int]) -> dict[str, Any]:
    """Every form on one set, with the text twin or with a soft prompt trained with this seed."""
    folder = domain_folder(name, data, work)
    build = work / name / ("untrained" if seed is None else f"seed-{seed}")
    if seed is not None and not build.exists() and (work / name / "untrained").is_dir():
        # Every cell has the same index.
        shutil.copytree(work / name / "untrained", build)
    with closing(open_domain(folder, build=build)) as domain:
        domain.ingest()
        trained: dict[str, Any] | None = None
        if seed is not None:
            settings = domain.file.train.model_copy(update={"seed": seed})
            report = domain.train(limit=config["train"], dev_limit=config["dev"], settings=settings)
            trained = {"kept": report.kept, "dev_f1": report.dev_f1, "dev_f1_text_twin": report.dev_f1_text_twin}
        items = spread(domain.items("test"), config["limit"])
        judge = fit_refusal_classifier(domain.encoder, domain.items("train"))
        report_, answers = evaluate(items, _systems(domain), judge, {})
    return {
        "questions": len(items),
        "trained": trained,
        "auto": answer_settings(domain.file, build).form,
        "rows": {row.system: _row(row) for row in answers},
        "retrieval": report_.as_json()["retrieval"],
        "finished": utc_now(),
    }


def _systems(domain: Domain) -> list[System]:
    graft: Graft = domain.graft
    model = domain.answering(graft, form="generate")
    forms: list[System] = []
    for form in CANDIDATES:
        checked = replace(model.settings, form=form, unsupported="keep" if form == "generate" else "quote")
        forms.append(System(form, replace(model, settings=checked), "retrieved", graft))
    checked = replace(model.settings, form="generate", unsupported="quote")
    forms.append(System("generate, checked", replace(model, settings=checked), "retrieved", graft))
    forms.append(System("auto", domain.answering(graft), "retrieved", graft))
    return forms


def _row(system: SystemAnswers) -> dict[str, Any]:
    answered = [a for a in system.answers if a.item.answerable]
    reached = [a for a in answered if not a.refused]
    unanswerable = [a for a in system.answers if not a.item.answerable]
    supported = [a.supported for a in system.answers if a.supported is not None]
    return {
        "accuracy": [_accuracy(a) for a in answered],
        "f1": [round(a.f1 or 0.0, 4) for a in answered],
        "reached": [not a.refused for a in answered],
        "accuracy_reached": statistics.mean(map(_accuracy, reached)) if reached else None,
        "refused_unanswerable": statistics.mean(a.refused for a in unanswerable) if unanswerable else None,
        "unsupported": 1 - statistics.mean(supported) if supported else None,
        "words": statistics.mean(a.words for a in system.answers),
        "seconds": system.seconds,
    }


def _accuracy(answer: ScoredAnswer) -> float:
    return answer.accuracy or 0.0


def domain_folder(name: str, data: Path, work: Path) -> Path:
    """The domain's folder: an example domain, or one made from a set of the data folder."""
    if name in DOMAINS:
        return ROOT / "domains" / name
    folder, source = (work / name / "domain").absolute(), work / name / "source"
    if not folder.is_dir():
        source.mkdir(parents=True, exist_ok=True)
        for file in ("docs", "train", "test"):
            shutil.copyfile(data / name / f"{file}.jsonl", source / f"{file}.jsonl")
        create_domain(
            str(folder),
            source,
            language="zh" if name == "xquad_zh" else "en",
            task="chat" if name in CHAT else "extractive-qa",
        )
    return folder


def print_forms(cells: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
    """A table per set: each form, with trained cells averaged over their seeds question by question."""
    for name, own in cells.items():
        groups = {"text twin": [cell for key, cell in own.items() if not key.startswith("seed")]}
        groups["trained"] = [cell for key, cell in own.items() if key.startswith("seed")]
        rows: list[list[str]] = []
        for group, some in groups.items():
            for form in some[0]["rows"] if some else ():
                rows.append([group, form, *_cells_of(form, some)])
        columns = ("model", "form", "accuracy", "minus quote", "reached", "token F1", "refused", "unsupported", "words",
                   "seconds")  # fmt: skip
        print_table(f"{name}, {next(iter(own.values()))['questions']} questions", columns, rows)


def _cells_of(form: AnswerForm, cells: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [cell["rows"][form] for cell in cells]
    accuracy, f1 = (_over_seeds([row[key] for row in rows]) for key in ("accuracy", "f1"))
    quote = _over_seeds([cell["rows"]["quote"]["accuracy"] for cell in cells])

    def mean(key: str) -> str:
        known = [row[key] for row in rows if row[key] is not None]
        return f"{statistics.mean(known):.3f}" if known else "-"

    return [
        interval_text(estimate(accuracy)),
        interval_text(difference(accuracy, quote), "+"),
        mean("accuracy_reached"),
        interval_text(estimate(f1)),
        mean("refused_unanswerable"),
        mean("unsupported"),
        mean("words"),
        mean("seconds"),
    ]


def _over_seeds(values: Sequence[Sequence[float]]) -> list[float]:
    """The mean over seeds for each question."""
    return [statistics.mean(question) for question in zip(*values, strict=True)]
