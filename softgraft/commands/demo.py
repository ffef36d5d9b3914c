"""The whole job on an example domain, on a part of its questions, within minutes."""

from __future__ import annotations

import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.markup import escape

from evaluation.items import items_hash, spread
from softgraft.commands.answer import show_answer, thread_config
from softgraft.commands.screen import bars, on_ingest, on_train, out, print_json, report_lines, report_table
from softgraft.domain import Domain, open_domain
from softgraft.settings.workplace import domain_folder

TRAIN = 120
DEV = 30
EPOCHS = 2
TEST = 24
THREAD = "demo"
ASKED = {
    "bank": (
        "How long do I have to dispute a card payment?",
        "And what evidence do you need for it?",
        "Do you sell pet insurance?",
    ),
    "clinic": (
        "How long does a sleep study last?",
        "And what should I bring to it?",
        "Do you treat horses?",
    ),
}


def run_demo(name: str, *, as_json: bool = False) -> None:
    """Ingest, train, evaluate and ask."""
    began = time.monotonic()
    opened = _open(domain_folder(name))
    result: dict[str, Any] = {"domain": opened.file.name, "stages": {}}

    def stage(title: str) -> None:
        if not as_json:
            out.print(f"\n[bold]{escape(title)}[/]")

    stage(f"1. Index the documents of {opened.file.title}")
    with bars(not as_json) as tell:
        ingested = opened.ingest(on_progress=on_ingest(tell))
    result["stages"]["ingest"] = asdict(ingested.report)
    if not as_json:
        report = ingested.report
        out.print(f"{report.passages} passages, {report.embedded} embedded now, {report.unchanged} documents unchanged")

    stage(f"2. Train a soft prompt on {TRAIN} questions ({EPOCHS} epochs; `softgraft train {name}` takes all)")
    settings = opened.file.train.model_copy(update={"epochs": EPOCHS})
    with bars(not as_json) as tell:
        trained = opened.train(
            limit=TRAIN,
            dev_limit=DEV,
            settings=settings,
            on_step=on_train(tell),
            on_score=lambda system, done, total: tell(f"answering dev, {system}", done, total, ""),
        )
    result["stages"]["train"] = asdict(trained)
    if not as_json:
        verdict = "kept" if trained.kept else "not kept: the text twin stays in use"
        out.print(
            f"{trained.seconds:.0f} s; token F1 on {trained.dev_questions} dev questions: {trained.dev_f1:.3f}, "
            f"text twin {trained.dev_f1_text_twin:.3f}; {verdict}"
        )

    stage(f"3. Compare on {TEST} held-out test questions (`softgraft eval {name}` takes all)")
    with bars(not as_json) as tell:
        scores = opened.evaluate(limit=TEST, on_progress=lambda system, done, total: tell(system, done, total, ""))
    result["stages"]["eval"] = scores.as_json()
    if not as_json:
        out.print(report_table(scores))
        for line in report_lines(scores):
            out.print(line)

    stage("4. Ask")
    result["stages"]["ask"] = []
    opened.chain.memory.delete_thread(THREAD)
    for question in ASKED.get(opened.file.name, (opened.items("test")[0].question,)):
        if as_json:
            result["stages"]["ask"].append(opened.chain.invoke({"question": question}, config=thread_config(THREAD)))
        else:
            out.print(f"\n> {escape(question)}")
            show_answer(opened, question, THREAD)
    opened.close()
    result["seconds"] = time.monotonic() - began
    if as_json:
        print_json(result)
        return
    out.print(f"\n[bold]Done in {result['seconds']:.0f} s.[/] Everything the demo made is in {opened.build}. Now:")
    activate = [("source .venv/bin/activate", "once, so that the commands are found")]
    for command, why in (
        *(activate if shutil.which("softgraft") is None and Path(".venv/bin/softgraft").exists() else []),
        (f'softgraft ask {name} "..."', "ask one question"),
        (f"softgraft chat {name}", "talk"),
        (f"softgraft train {name} && softgraft eval {name}", "train and compare on all questions"),
        ("softgraft new NAME --from FOLDER", "your own documents"),
    ):
        out.print(f"  {command:<52} {why}")


def _open(folder: Path) -> Domain:
    """The domain, with a build folder of its own where a whole training would be replaced by the demo's."""
    opened = open_domain(folder)
    manifest = opened.manifest
    ours = items_hash([item for item in spread(opened.items("train"), TRAIN) if item.target])
    if manifest is None or manifest.data_hash == ours:
        return opened
    return open_domain(folder, build=opened.build / "demo")
