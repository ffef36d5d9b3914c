"""The command line: thin over `softgraft.domain`. Nothing heavy loads before a command runs."""

from __future__ import annotations

import typer

from softgraft.commands.answer import ask, chat
from softgraft.commands.exchange import export_command, import_command
from softgraft.commands.graft import evaluate_command, train_command
from softgraft.commands.ingest import ingest_command
from softgraft.commands.make import demo_command, new
from softgraft.commands.prompts import prompts_app
from softgraft.commands.status import status
from softgraft.commands.threads import threads

app = typer.Typer(
    help="Graft a domain onto a frozen language model: template, index, soft prompt, chain.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    epilog="Start with: softgraft demo",
)

app.command("new")(new)
app.command("ingest")(ingest_command)
app.command("train")(train_command)
app.command("eval")(evaluate_command)
app.command("ask")(ask)
app.command("chat")(chat)
app.command("export")(export_command)
app.command("import")(import_command)
app.add_typer(prompts_app, name="prompts")
app.add_typer(threads, name="threads")
app.command("status")(status)
app.command("demo")(demo_command)
