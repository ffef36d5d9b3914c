"""The training of `starter.py`."""

from __future__ import annotations

import shutil
from contextlib import ExitStack, closing
from pathlib import Path

from benchmarks.answers.form_cells import domain_folder
from benchmarks.script import ROOT
from softgraft import Domain, open_domain
from softgraft.jobs.source import make_source, measure_unseen
from softgraft.sources.card import CARD, read_card, write_card
from softgraft.sources.shelf import read_source

STARTERS = ROOT / "softgraft" / "starters"
DOMAINS = {"rag-chat": ("bank", "clinic", "college", "playhouse"), "extractive-qa": ("squad",)}
# Sets that a starter is measured on and never trained on: up to UNSEEN_QUESTIONS dev questions of each.
UNSEEN = {"rag-chat": ("covidqa", "squad"), "extractive-qa": ("covidqa",)}
UNSEEN_QUESTIONS = 60
LICENCES = {"squad": "CC-BY-SA-4.0"}


def make_starter(template: str, data: Path, work: Path, limit: int, dev: int, seed: int) -> None:
    """Train one starter, measure it on sets that it has not seen, and write it to the package.

    Raises:
        SystemExit: if it does not beat the text twin.
    """
    folder = work / template
    if not (folder / CARD).is_file():
        with ExitStack() as stack:
            domains = [stack.enter_context(closing(_opened(name, template, data, work))) for name in DOMAINS[template]]
            settings = domains[0].file.train.model_copy(update={"seed": seed})
            report = make_source(
                f"starter-{template}",
                domains,
                folder=folder,
                limit=limit,
                dev_limit=dev if template == "rag-chat" else 3 * dev,
                settings=settings,
                made_by="make starter",
                stored="int8",
            )
        training = report.training
        print(f"{template}: token F1 on dev {training.dev_f1:.3f}, text twin {training.dev_f1_text_twin:.3f}")
        if report.card is None:
            raise SystemExit(f"{template}: not kept, since it does not beat its text twin. Next: raise --limit")
    for name in UNSEEN[template]:
        card = read_card(folder)
        if name not in {one.name for one in card.unseen}:
            with closing(_opened(name, template, data, work)) as domain:
                scores = measure_unseen(domain, read_source(folder), "dev", UNSEEN_QUESTIONS)
            write_card(card.model_copy(update={"unseen": (*card.unseen, scores)}), folder)
            print(f"{template}: {scores}", flush=True)
    target = STARTERS / template
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    shutil.copytree(folder / "soft_prompt", target / "soft_prompt")
    shutil.copyfile(folder / CARD, target / CARD)


def _opened(name: str, template: str, data: Path, work: Path) -> Domain:
    """The domain with its build folder in the work folder; what it starts from is always the text twin."""
    domain = open_domain(domain_folder(name, data, work), build=work / name / "build")
    update = {
        # A set of the data folder becomes a domain in a folder of another name.
        "name": name,
        "start": "text-twin",
        "licence": domain.file.licence or LICENCES.get(name, ""),
        "task": "chat" if template == "rag-chat" else "extractive-qa",
        "template": template,
    }
    domain.file = domain.file.model_copy(update=update)
    domain.ingest()
    return domain
