"""A process that has loaded everything, from which each case is forked: a command then takes a fraction of a second."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from campaign_workplace import COMMANDS, HOUSE, QUESTION, copy_of, make_workplace, output, run
from crash_forks import Child, Report, start_child

# What makes the workplace one in use, in this order.
FIRST_USE: tuple[tuple[str, ...], ...] = (
    ("ingest", "house"),
    ("train", "house"),
    ("ask", "house", QUESTION, "--thread", "first"),
    ("ask", "house", "And how long does it take?", "--thread", "first"),
    ("export", "house", "--format", "peft", "--out", "adapter"),
)
LIMIT = 300.0


@dataclass(frozen=True)
class Done:
    """How a command ended: its exit code (None if it did not end by itself), what it printed, and other reports."""

    ended: str
    code: int | None
    out: str
    err: str
    reports: tuple[object, ...] = ()

    @property
    def traceback(self) -> bool:
        """Whether it shows the inside of the program."""
        return "Traceback (most recent call last)" in self.err + self.out or self.ended == "raised"


_kept: list[object] = []


def load_everything(base: Path) -> None:
    """Import what the commands use, and load the models, which forked processes share."""
    import matplotlib

    from retrieval import load_encoder
    from retrieval.encoders.load import resolved_name
    from softgraft.assembly.shared_models import shared, shared_backbone
    from softgraft.settings.domain_file import read_domain_file

    matplotlib.use("Agg")
    for name in ("softgraft.cli", "softgraft.domain", "softgraft.jobs.source", "softgraft.jobs.interop",
                 "softgraft.jobs.report.page", "softgraft.jobs.create", "softgraft.jobs.questions.drafting",
                 "langgraph.checkpoint.sqlite", "faiss", "docx", "pypdfium2", "selectolax.lexbor"):  # fmt: skip
        __import__(name)
    file = read_domain_file(base.joinpath("fresh", *HOUSE))
    _kept.append(shared(load_encoder, resolved_name(file.encoder, None)))
    _kept.append(shared_backbone(file))


def prepare(base: str) -> str:
    """Make a workplace in use; its path."""
    sys.dont_write_bytecode = True
    folder = Path(base)
    make_workplace(folder / "fresh")
    load_everything(folder)
    used = copy_of(folder / "fresh", folder / "used")
    for arguments in FIRST_USE:
        done = in_workplace(used, arguments)
        assert done.code == 0, (arguments, done)
    return str(used)


def start(workplace: Path, arguments: Sequence[str], before: Callable[[Report], None] | None = None) -> Child:
    """Start a command in a forked process; `before` runs in it first."""
    for name in ("out", "err"):
        output(workplace, name).unlink(missing_ok=True)

    def work(report: Report) -> None:
        if before is not None:
            before(report)
        report({"code": run(arguments, workplace)})

    return start_child(work)


def finish(child: Child, workplace: Path, *, kill_after: float | None = None) -> Done:
    """Wait for a command."""
    fate = child.wait(kill_after=kill_after, limit=LIMIT)
    codes = [report["code"] for report in fate.reports if isinstance(report, Mapping) and "code" in report]
    out, err = (said(workplace, name) for name in ("out", "err"))
    return Done(fate.ended, codes[0] if codes else None, out, err + fate.error, tuple(fate.reports))


def said(workplace: Path, name: str) -> str:
    """What a command has printed so far."""
    file = output(workplace, name)
    return file.read_text("utf-8", "replace") if file.is_file() else ""


def in_workplace(workplace: Path, arguments: Sequence[str], before: Callable[[Report], None] | None = None) -> Done:
    """Run a command in a forked process, and wait for it."""
    return finish(start(workplace, arguments, before), workplace)


def in_turn(workplace: Path, commands: Sequence[Sequence[str]]) -> list[Done]:
    """Run several commands in one forked process; fewer results than commands if it ended early."""

    def work(report: Report) -> None:
        for arguments in commands:
            for name in ("out", "err"):
                output(workplace, name).unlink(missing_ok=True)
            code = run(arguments, workplace)
            report([code, said(workplace, "out"), said(workplace, "err")])

    fate = start_child(work).wait(limit=LIMIT)
    done = [Done("exited", *report) for report in fate.reports if isinstance(report, list)]
    if fate.ended != "exited":
        done.append(Done(fate.ended, None, said(workplace, "out"), said(workplace, "err") + fate.error))
    return done


def begun(used: Path, folder: Path, command: str) -> Path:
    """A copy of the workplace in which a command is about to run."""
    workplace = copy_of(used, folder)
    COMMANDS[command].prepare(workplace)
    return workplace
