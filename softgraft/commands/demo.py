"""`softgraft demo`."""

from __future__ import annotations

import itertools
import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from softgraft.commands.answer import invoke, stream_answer
from softgraft.commands.console import (
    JsonOption,
    on_ingest,
    on_score,
    on_terminal,
    on_train,
    out,
    print_json,
    progress_bars,
    styled,
)
from softgraft.commands.evaluate import interval, report_lines, report_table
from softgraft.errors import UsageError
from softgraft.settings.location import domain_folder

if TYPE_CHECKING:
    from softgraft.domain import Domain
    from softgraft.settings.domain_file import TrainSettings

TRAIN_QUESTIONS = 120
DEV_QUESTIONS = 30
EPOCHS = 2
TEST_QUESTIONS = 24
THREAD = "demo"
# In build/: the soft prompt of the other domain.
SOURCE = "demo-source"
QUESTIONS = {
    "bank": (
        "How many days do I have to dispute a card payment?",
        "And what evidence do you need for it?",
        "Do you sell pet insurance?",
    ),
    "clinic": ("How long does a sleep study last?", "And what should I bring to it?", "Do you treat horses?"),
}


def demo(
    domain: Annotated[str, typer.Argument(metavar="DOMAIN", help="A name under domains/, or a path.")] = "bank",
    json: JsonOption = False,
) -> None:
    """Show all stages on an example domain.

    The stages: ingest, a soft prompt of another domain, train, evaluate, answer. The demo uses part of the questions,
    so that it ends within minutes. Without a terminal it prints one line per stage.

    Example: `softgraft demo`
    """
    from softgraft.jobs.source import make_source

    started = time.monotonic()
    opened = _open(domain_folder(domain))
    stages: dict[str, Any] = {}
    # One line per stage, where a terminal shows progress bars, a table and the answers as they are generated.
    brief = not on_terminal()

    stage = itertools.count(1)

    def begin(title: str) -> None:
        if not json:
            title = f"{next(stage)}. {title}"
            out.print(f"{title}:" if brief else styled(f"\n{title}", "bold"), end=" " if brief else "\n")

    def figures(text: str) -> None:
        if not json:
            out.print(text)

    begin(f"Index the documents of {opened.file.title}")
    with progress_bars(not json) as progress:
        report = opened.ingest(on_progress=on_ingest(progress)).report
    stages["ingest"] = asdict(report)
    figures(f"{report.passages} passages, {report.embedded} embedded now, {report.unchanged} documents unchanged")

    other = _other(opened.folder)
    if other is not None:
        begin(f"Before training: a soft prompt of another domain, {other.file.title}")
        with progress_bars(not json) as progress:
            other.ingest(on_progress=on_ingest(progress))
            source = make_source(
                SOURCE,
                [other],
                folder=opened.build / SOURCE,
                limit=TRAIN_QUESTIONS,
                dev_limit=DEV_QUESTIONS,
                settings=_settings(opened),
                on_step=on_train(progress),
                on_score=on_score(progress),
            ).training
        other.close()
        stages["source"] = asdict(source)
        if source.kept:
            opened.file = opened.file.model_copy(update={"start": str(opened.build / SOURCE)})
        used = "it answers there as `source`, and training goes on from it" if source.kept else "not kept"
        figures(
            f"{source.seconds:.0f} s; trained on {source.examples} questions of its own and none of "
            f"{opened.cli_name}; {used}"
        )

    begin(f"Train a soft prompt on {TRAIN_QUESTIONS} questions ({EPOCHS} epochs; `softgraft train {domain}` uses all)")
    with progress_bars(not json) as progress:
        trained = opened.train(
            limit=TRAIN_QUESTIONS,
            dev_limit=DEV_QUESTIONS,
            settings=_settings(opened),
            on_step=on_train(progress),
            on_score=on_score(progress),
        )
    stages["train"] = asdict(trained)
    verdict = "kept" if trained.kept else "not kept: it does not beat both its start and its text twin"
    if trained.form is not None:
        verdict += f"; answers on dev are best as `{trained.form}`"
    figures(
        f"{trained.seconds:.0f} s; token F1 on {trained.dev_questions} dev questions: {trained.dev_f1:.3f}, "
        f"text twin {trained.dev_f1_text_twin:.3f}"
        + (f", source {trained.dev_score_start:.3f}" if trained.dev_score_start is not None else "")
        + f"; {verdict}"
    )

    begin(f"Compare on {TEST_QUESTIONS} held-out test questions (`softgraft eval {domain}` uses all)")
    with progress_bars(not json) as progress:
        evaluation = opened.evaluate(limit=TEST_QUESTIONS, on_progress=progress)
    stages["eval"] = evaluation.as_json()
    if brief:
        figures("token F1 " + ", ".join(f"{row.system} {interval(row.token_f1)}" for row in evaluation.rows))
    elif not json:
        out.print(report_table(evaluation))
        for line in report_lines(evaluation):
            out.print(line)

    begin("Ask")
    stages["ask"] = []
    opened.chain.memory.delete_thread(THREAD)
    for question in QUESTIONS.get(opened.file.name, (opened.items("test")[0].question,)):
        if json or brief:
            stages["ask"].append(invoke(opened, question, THREAD))
        else:
            out.print(f"\n> {question}")
            stream_answer(opened, question, THREAD)
    if brief:
        answers = (f"{result['question']} {' '.join(result['answer'].split())}" for result in stages["ask"])
        figures(" | ".join(answers))
    opened.close()
    seconds = time.monotonic() - started
    if json:
        print_json({"domain": opened.file.name, "stages": stages, "seconds": seconds})
        return
    if not brief:
        out.print()
    out.print(styled(f"Done in {seconds:.0f} s.", "bold"), f"All files of the demo are in {opened.build}.")
    if not brief:
        _print_next_steps(domain)


def _open(folder: Path) -> Domain:
    """The domain; in a build folder of its own if the demo would replace a soft prompt that is not the demo's."""
    from evaluation.items import items_hash, spread
    from softgraft.domain import open_domain

    opened = open_domain(folder)
    _require_demo(opened)
    manifest = opened.manifest
    demo_hash = items_hash([item for item in spread(opened.items("train"), TRAIN_QUESTIONS) if item.target])
    if manifest is None or manifest.data_hash == demo_hash:
        return opened
    return open_domain(folder, build=opened.build / "demo")


def _require_demo(domain: Domain) -> None:
    """Refuse a domain that cannot go through all stages, before the first one begins.

    Raises:
        UsageError: if its task does not answer questions, its backbone is behind an API, or it has no test questions.
    """
    from evaluation.rows import split_file
    from softgraft.assembly.evaluation import held_out

    if domain.file.text_task is not None:
        raise UsageError(
            found=f"the task of {domain.cli_name} is {domain.file.task}",
            expected="a domain that answers questions",
            next_step=f"softgraft train {domain.cli_name}, then softgraft eval {domain.cli_name}",
        )
    if domain.remote:
        _ = domain.store  # raises UsageError
    held_out(domain.items("test"), None, split_file(domain.folder, "test"))


def _other(folder: Path) -> Domain | None:
    """Another example domain beside this one; None if there is none."""
    from softgraft.domain import open_domain

    for name in QUESTIONS:
        if name != folder.resolve().name and (folder.parent / name / "domain.yaml").is_file():
            return open_domain(folder.parent / name)
    return None


def _settings(domain: Domain) -> TrainSettings:
    return domain.file.train.model_copy(update={"epochs": EPOCHS, "min_steps": 1})


def _print_next_steps(domain: str) -> None:
    out.print("Next steps:")
    needs_activation = shutil.which("softgraft") is None and Path(".venv/bin/softgraft").exists()
    for command, purpose in (
        *([("source .venv/bin/activate", "activate the environment, once per shell")] if needs_activation else []),
        (f'softgraft ask {domain} "..."', "ask one question"),
        (f"softgraft chat {domain}", "hold a conversation"),
        (f"softgraft train {domain} && softgraft eval {domain}", "train and compare on all questions"),
        ("softgraft new NAME --from FOLDER", "create a domain from your own documents"),
    ):
        out.print(f"  {command.ljust(52)} {purpose}")
