"""`softgraft threads`: the conversations that a domain remembers."""

from __future__ import annotations

import json as json_format
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from softgraft.commands.screen import Json, Name, out, print_json
from softgraft.commands.transcript import as_markdown, place
from softgraft.errors import UsageError
from softgraft.settings.domain_file import MEMORY, read_domain_file
from softgraft.settings.workplace import domain_folder

if TYPE_CHECKING:
    from chains import Conversations

Thread = Annotated[str, typer.Argument(metavar="THREAD", help="Id of a conversation, as `threads list` shows it.")]
_SHOWN = 60

threads = typer.Typer(
    help="""List, show, export or delete the conversations of a domain.

    Example: [bold]softgraft threads list bank[/]
    """,
    no_args_is_help=True,
)


@threads.command("list")
def list_command(domain: Name, json: Json = False) -> None:
    """List the conversations, the one that was talked in last first.

    Example: [bold]softgraft threads list bank[/]
    """
    found = _conversations(domain).threads()
    if json:
        print_json({"threads": [asdict(entry) for entry in found]})
        return
    if not found:
        out.print(f'no conversations yet; begin one: softgraft ask {escape(domain)} "..." --thread NAME')
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("thread", "turns", "last", "first question"):
        table.add_column(name, justify="right" if name == "turns" else "left")
    for entry in found:
        first = entry.first if len(entry.first) <= _SHOWN else entry.first[: _SHOWN - 3] + "..."
        table.add_row(escape(entry.thread), str(entry.turns), entry.updated[:16].replace("T", " "), escape(first))
    out.print(table)


@threads.command("show")
def show_command(domain: Name, thread: Thread, json: Json = False) -> None:
    """Print a conversation with its quotes and where they stand.

    Example: [bold]softgraft threads show bank anna[/]
    """
    found = _conversations(domain).transcript(thread)
    if json:
        print_json(found)
        return
    if found["summary"]:
        out.print(f"[dim]its beginning in short: {escape(found['summary'])}[/]")
    for turn in found["turns"]:
        out.print(f"[bold]> {escape(turn['question'])}[/]")
        out.print(escape(turn["answer"]))
        for citation in turn["citations"]:
            out.print(f'  "{escape(citation["quote"])}"')
            out.print(f"[dim]    {escape(place(citation))}[/]")
        for notice in turn.get("notices", []):
            out.print(f"[yellow]note:[/] {escape(notice)}")


@threads.command("export")
def export_command(
    domain: Name,
    thread: Thread,
    format: Annotated[Literal["markdown", "json"], typer.Option(help="A page to read, or everything as data.")] = (
        "markdown"
    ),
    output: Annotated[Path | None, typer.Option(help="A new file; without one it goes to standard output.")] = None,
) -> None:
    """Write a conversation out, with its quotes and where they stand.

    Example: [bold]softgraft threads export bank anna --output anna.md[/]
    """
    found = _conversations(domain).transcript(thread)
    if format == "json":
        text = json_format.dumps(found, ensure_ascii=False, indent=1) + "\n"
    else:
        text = as_markdown(found, read_domain_file(domain_folder(domain)).title)
    if output is None:
        # Not through the console, which would read brackets as markup.
        typer.echo(text, nl=False)
        return
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UsageError(
            found=f"{output} cannot be written: {error.strerror}",
            expected="a new file in a folder that exists",
            next_step="give --output another name",
        ) from error
    out.print(f"wrote {escape(str(output))}")


@threads.command("delete")
def delete_command(
    domain: Name,
    thread: Thread,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Delete a conversation for good.

    Example: [bold]softgraft threads delete bank anna --yes[/]
    """
    conversations = _conversations(domain)
    turns = len(conversations.transcript(thread)["turns"])
    counted = "1 turn" if turns == 1 else f"{turns} turns"
    if not yes:
        if json:
            raise UsageError(
                found="--json without --yes",
                expected="both, since nobody can be asked",
                next_step=f"softgraft threads delete {domain} {thread} --yes --json",
            )
        if not typer.confirm(f"Delete the conversation {thread!r} with {counted}?", err=True):
            out.print("kept")
            raise typer.Exit(1)
    conversations.delete(thread)
    if json:
        print_json({"deleted": thread, "turns": turns})
    else:
        out.print(f"deleted {escape(thread)} ({counted})")


def _conversations(domain: str) -> Conversations:
    from chains import Conversations

    return Conversations(domain_folder(domain) / "build" / MEMORY)
