"""The command line application. Importing it loads no PyTorch, so `--help` and `--version` are fast."""

from __future__ import annotations

from typing import Annotated

import typer

import softgraft
from softgraft.commands.answer import ask, chat
from softgraft.commands.demo import demo
from softgraft.commands.evaluate import curve_command, evaluate_command, report_command
from softgraft.commands.feedback.command import feedback
from softgraft.commands.ingest import ingest_command
from softgraft.commands.interop import export_command, import_command
from softgraft.commands.new import new
from softgraft.commands.prompts import prompts_app
from softgraft.commands.questions import questions
from softgraft.commands.service.serve import serve
from softgraft.commands.sources import source_command, sources_command, transfer_command
from softgraft.commands.status import doctor, status
from softgraft.commands.threads import threads
from softgraft.commands.train import train_command

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with: softgraft demo",
)


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"softgraft {softgraft.__version__}")
        raise typer.Exit


@app.callback()
def softgraft_command(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Graft a domain onto a frozen language model: template, index, soft prompt, chain."""


app.command("new")(new)
app.command("ingest")(ingest_command)
app.command("questions")(questions)
app.command("train")(train_command)
app.command("eval")(evaluate_command)
app.command("curve")(curve_command)
app.command("report")(report_command)
app.command("source")(source_command)
app.command("sources")(sources_command)
app.command("transfer")(transfer_command)
app.command("ask")(ask)
app.command("chat")(chat)
app.command("serve")(serve)
app.command("export")(export_command)
app.command("import")(import_command)
app.add_typer(prompts_app, name="prompts")
app.add_typer(threads, name="threads")
app.command("feedback")(feedback)
app.command("status")(status)
app.command("doctor")(doctor)
app.command("demo")(demo)
