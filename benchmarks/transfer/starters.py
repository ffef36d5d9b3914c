"""The training of `starter.py`."""

from __future__ import annotations

import shutil
from contextlib import ExitStack, closing
from pathlib import Path

from benchmarks.answers.form_cells import domain_folder
from benchmarks.script import ROOT
from softgraft import Domain, open_domain
from softgraft.jobs.source import make_source

STARTERS = ROOT / "softgraft" / "starters"
DOMAINS = {"rag-chat": ("bank", "clinic", "college", "playhouse"), "extractive-qa": ("squad",)}
LICENCES = {"squad": "CC-BY-SA-4.0"}


def make_starter(template: str, data: Path, work: Path, limit: int, dev: int, seed: int) -> None:
    """Train one starter, and write what it needs to the package: the soft prompt and its card.

    Raises:
        SystemExit: if it does not beat the text twin.
    """
    with ExitStack() as stack:
        domains = [stack.enter_context(closing(_opened(name, data, work))) for name in DOMAINS[template]]
        for domain in domains:
            domain.ingest()
        settings = domains[0].file.train.model_copy(update={"seed": seed})
        report = make_source(
            f"starter-{template}",
            domains,
            folder=work / template,
            limit=limit,
            dev_limit=dev if template == "rag-chat" else 3 * dev,
            settings=settings,
            made_by="make starter",
            stored="int8",
        )
    training = report.training
    print(f"{template}: token F1 on dev {training.dev_f1:.3f}, text twin {training.dev_f1_text_twin:.3f}", flush=True)
    if report.card is None:
        raise SystemExit(f"{template}: the soft prompt does not beat its text twin. Next: more questions with --limit")
    target = STARTERS / template
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    shutil.copytree(work / template / "soft_prompt", target / "soft_prompt")
    shutil.copyfile(work / template / "card.json", target / "card.json")


def _opened(name: str, data: Path, work: Path) -> Domain:
    """The domain with its build folder in the work folder; what it starts from is always the text twin."""
    domain = open_domain(domain_folder(name, data, work), build=work / name / "build")
    update = {"start": "text-twin", "licence": domain.file.licence or LICENCES.get(name, "")}
    domain.file = domain.file.model_copy(update=update)
    return domain
