"""`softgraft threads`: the stored conversations of a domain."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from chains.errors import MemoryDamagedError
from softgraft.commands.answer import print_citations
from softgraft.commands.console import (
    DomainArgument,
    JsonOption,
    out,
    print_json,
    print_notes,
    simple_table,
    styled,
    write_private_file,
)
from softgraft.errors import OUTCOMES, UsageError
from softgraft.jobs.transcript import as_markdown
from softgraft.settings.domain_file import MEMORY, read_domain_file
from softgraft.settings.location import domain_folder
from softgraft.terminal import json_text, visible

if TYPE_CHECKING:
    from chains import Conversations

ThreadArgument = Annotated[
    str, typer.Argument(metavar="THREAD", help="Id of a conversation, as shown by `threads list`.")
]
_TEXT_WIDTH = 60

threads = typer.Typer(
    help="""List, show, rename, export or delete the conversations of a domain.

    Example: `softgraft threads list bank`
    """,
    no_args_is_help=True,
)


@threads.command("list")
def list_command(domain: DomainArgument, json: JsonOption = False) -> None:
    """List the conversations, the most recent one first.

    Example: `softgraft threads list bank`
    """
    conversations = _conversations(domain).threads()
    if json:
        print_json({"threads": [asdict(entry) for entry in conversations]})
        return
    if not conversations:
        out.print(f'no conversations yet\nnext: softgraft ask {domain} "..." --thread NAME')
        return
    titled = any(entry.title for entry in conversations)
    text = ["thread", "last", *(["title"] if titled else []), "first question"]
    table = simple_table(["thread", "turns", *text[1:]], left=text)
    for entry in conversations:
        cells = [entry.title] if titled else []
        cells.append("(damaged)" if entry.damaged else entry.first)
        shortened = [cell if len(cell) <= _TEXT_WIDTH else cell[: _TEXT_WIDTH - 3] + "..." for cell in cells]
        table.add_row(entry.thread, str(entry.turns), entry.updated[:16].replace("T", " "), *shortened)
    out.print(table)
    if any(entry.damaged for entry in conversations):
        print_notes([f"for what is damaged, run: softgraft threads show {domain} THREAD"])


@threads.command("show")
def show_command(domain: DomainArgument, thread: ThreadArgument, json: JsonOption = False) -> None:
    """Print a conversation with its quotes and their locations.

    Example: `softgraft threads show bank anna`

    If a part is damaged, the rest is printed and the exit code is 5.
    """
    transcript = _conversations(domain).transcript(thread)
    if json:
        print_json(transcript)
        _exit_if_damaged(domain, transcript)
        return
    if transcript["summary"]:
        out.print(styled(f"summary of the earlier turns: {transcript['summary']}", "dim"))
    for turn in transcript["turns"]:
        out.print(styled(f"> {turn['question']}", "bold"))
        out.print(turn["answer"])
        print_citations(turn["citations"], turn["answer"])
        print_notes(turn.get("notices", []), out)
    _exit_if_damaged(domain, transcript)


@threads.command("rename")
def rename_command(
    domain: DomainArgument,
    thread: ThreadArgument,
    title: Annotated[str, typer.Argument(metavar="TITLE", help='New title; "" takes it away.')],
    json: JsonOption = False,
) -> None:
    """Give a conversation a title, which lists and the page show. Its id stays.

    Example: `softgraft threads rename bank anna "Lost card"`
    """
    stored = _conversations(domain).rename(thread, title)
    if json:
        print_json({"thread": thread, "title": stored})
    else:
        out.print(f"{thread} is now titled {stored!r}" if stored else f"{thread} has no title now")


@threads.command("export")
def export_command(
    domain: DomainArgument,
    thread: ThreadArgument,
    format: Annotated[
        Literal["markdown", "json"], typer.Option(help="markdown is a page to read, json contains all data.")
    ] = "markdown",
    output: Annotated[Path | None, typer.Option(help="New file; default: standard output.")] = None,
) -> None:
    """Export a conversation with its quotes and their locations.

    Example: `softgraft threads export bank anna --output anna.md`

    If a part is damaged, the rest is exported and the exit code is 5.
    """
    transcript = _conversations(domain).transcript(thread)
    if format == "json":
        text = json_text(transcript) + "\n"
    else:
        text = visible(as_markdown(transcript, read_domain_file(domain_folder(domain)).title))
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_private_file(output, text)
        out.print(f"wrote {output}")
    _exit_if_damaged(domain, transcript)


@threads.command("delete")
def delete_command(
    domain: DomainArgument,
    thread: ThreadArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    json: JsonOption = False,
) -> None:
    """Delete a conversation permanently.

    Example: `softgraft threads delete bank anna --yes`

    The exit code is 6 if the text is still in the file because another program is reading it; then run it again.
    """
    conversations = _conversations(domain)
    turns = conversations.turn_count(thread)
    turn_count = "1 turn" if turns == 1 else f"{turns} turns"
    if not yes:
        if json:
            raise UsageError(
                found="--json without --yes",
                expected="both, because --json asks no questions",
                next_step=f"softgraft threads delete {domain} {thread} --yes --json",
            )
        if not typer.confirm(f"Delete the conversation {thread!r} with {turn_count}?", err=True):
            out.print("kept")
            raise typer.Exit(1)
    conversations.delete(thread)
    if json:
        print_json({"deleted": thread, "turns": turns})
    elif turns:
        out.print(f"deleted {thread} ({turn_count})")
    else:
        # An earlier call had deleted it, but could not overwrite its text.
        out.print(f"deleted {thread}: its text is gone from the file")


def _exit_if_damaged(domain: str, transcript: dict[str, Any]) -> None:
    """End with the exit code of a damaged memory, after the intact turns were printed."""
    if not transcript["damaged"]:
        return
    name = shlex.quote(transcript["thread"])
    print_notes(
        [
            f"{' and '.join(transcript['damaged'])} of the conversation {transcript['thread']!r}: the content differs "
            "from its checksum, or is missing. To begin anew, export what is intact and run: "
            f"softgraft threads delete {domain} {name} --yes"
        ]
    )
    raise typer.Exit(dict(OUTCOMES)[MemoryDamagedError].exit_code)


def _conversations(domain: str) -> Conversations:
    from chains import Conversations

    return Conversations(domain_folder(domain) / "build" / MEMORY)
