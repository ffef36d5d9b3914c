"""`softgraft threads`: the stored conversations of a domain."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from softgraft.commands.answer import citation_location, print_citations
from softgraft.commands.console import DomainArgument, JsonOption, out, print_json, print_notes, simple_table, styled
from softgraft.errors import UsageError
from softgraft.settings.domain_file import MEMORY, read_domain_file
from softgraft.settings.location import domain_folder
from softgraft.terminal import json_text, visible

if TYPE_CHECKING:
    from chains import Conversations

ThreadArgument = Annotated[
    str, typer.Argument(metavar="THREAD", help="Id of a conversation, as shown by `threads list`.")
]
_QUESTION_WIDTH = 60

threads = typer.Typer(
    help="""List, show, export or delete the conversations of a domain.

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
    table = simple_table(["thread", "turns", "last", "first question"], left=["thread", "last", "first question"])
    for entry in conversations:
        first = entry.first if len(entry.first) <= _QUESTION_WIDTH else entry.first[: _QUESTION_WIDTH - 3] + "..."
        table.add_row(entry.thread, str(entry.turns), entry.updated[:16].replace("T", " "), first)
    out.print(table)


@threads.command("show")
def show_command(domain: DomainArgument, thread: ThreadArgument, json: JsonOption = False) -> None:
    """Print a conversation with its quotes and their locations.

    Example: `softgraft threads show bank anna`
    """
    transcript = _conversations(domain).transcript(thread)
    if json:
        print_json(transcript)
        return
    if transcript["summary"]:
        out.print(styled(f"summary of the earlier turns: {transcript['summary']}", "dim"))
    for turn in transcript["turns"]:
        out.print(styled(f"> {turn['question']}", "bold"))
        out.print(turn["answer"])
        print_citations(turn["citations"], turn["answer"])
        print_notes(turn.get("notices", []), out)


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
    """
    transcript = _conversations(domain).transcript(thread)
    if format == "json":
        text = json_text(transcript) + "\n"
    else:
        text = visible(as_markdown(transcript, read_domain_file(domain_folder(domain)).title))
    if output is None:
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
    out.print(f"wrote {output}")


@threads.command("delete")
def delete_command(
    domain: DomainArgument,
    thread: ThreadArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    json: JsonOption = False,
) -> None:
    """Delete a conversation permanently.

    Example: `softgraft threads delete bank anna --yes`
    """
    conversations = _conversations(domain)
    turns = len(conversations.transcript(thread)["turns"])
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
    else:
        out.print(f"deleted {thread} ({turn_count})")


def as_markdown(transcript: dict[str, Any], title: str) -> str:
    """A transcript as a page: a heading for each question, then its answer and its quotes with their locations."""
    lines = [f"# {_one_line(title)}: conversation {_one_line(transcript['thread'])}", ""]
    if transcript["summary"]:
        lines += [f"Summary of the earlier turns: {_one_line(transcript['summary'])}", ""]
    for number, turn in enumerate(transcript["turns"], 1):
        lines += [f"## {number}. {_one_line(turn['question'])}", ""]
        if turn.get("at"):
            lines += [f"*{turn['at']}*", ""]
        # Leading spaces would make a line a code block.
        lines += [line.strip() for line in turn["answer"].splitlines()] + [""]
        for citation in turn["citations"]:
            lines += [f"> {_one_line(citation['quote'])}", ">", f"> {citation_location(citation)}", ""]
        lines += [line for notice in turn.get("notices", []) for line in (f"Note: {_one_line(notice)}", "")]
    return "\n".join(lines)


def _one_line(text: str) -> str:
    """Text without line breaks, so that no part of it starts a heading or a list."""
    return " ".join(text.split())


def _conversations(domain: str) -> Conversations:
    from chains import Conversations

    return Conversations(domain_folder(domain) / "build" / MEMORY)
