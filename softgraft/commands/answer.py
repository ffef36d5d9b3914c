"""`softgraft ask` and `chat`."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from softgraft.commands.screen import Json, Name, err, out, print_json
from softgraft.commands.task import do_task
from softgraft.commands.transcript import place
from softgraft.domain import resolve

if TYPE_CHECKING:
    from softgraft.domain import Domain

Thread = Annotated[str | None, typer.Option(help="Remember the conversation under this id.")]


def ask(
    domain: Name,
    question: Annotated[str, typer.Argument(help="The question, in quotes.")],
    json: Json = False,
    thread: Thread = None,
) -> None:
    """Ask one question; the answer comes with its quotes and where they stand.

    Example: [bold]softgraft ask bank "How long do I have to dispute a card payment?"[/]

    A domain of another task takes a text: [bold]softgraft ask intents "I lost my card"[/]
    """
    opened = resolve(domain)
    if opened.file.text_task is not None:
        do_task(opened, question, thread, json=json)
        return
    if json:
        with warnings.catch_warnings():
            # The notices stand in the object itself.
            warnings.simplefilter("ignore")
            print_json(opened.chain.invoke({"question": question}, config=thread_config(thread)))
        return
    show_answer(opened, question, thread)


def chat(
    domain: Name,
    thread: Annotated[str, typer.Option(help="Id of the conversation; an id that is known goes on.")] = "chat",
    json: Json = False,
) -> None:
    """Talk with a domain; an empty line or Ctrl-D ends the conversation.

    Example: [bold]softgraft chat bank --thread anna[/]

    With --json, read one question a line from standard input and print one JSON object an answer.
    """
    opened = resolve(domain)
    chain = opened.chain
    if not json:
        earlier = len(chain.history(thread))
        out.print(f"[bold]{escape(opened.file.title)}[/], conversation {escape(thread)!r}: {earlier} earlier turns")
    while True:
        try:
            question = input("" if json else "> ").strip()
        except EOFError:
            break
        if not question:
            break
        if json:
            print_json(chain.invoke({"question": question}, config=thread_config(thread)))
        else:
            show_answer(opened, question, thread)


def thread_config(thread: str | None) -> Any:
    """The chain's config for a conversation."""
    return {"configurable": {"thread_id": thread}} if thread is not None else {}


def show_answer(domain: Domain, question: str, thread: str | None) -> None:
    """Print an answer as it comes, then its quotes."""
    total: dict[str, Any] = {}
    # They come in several parts.
    notices: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for part in domain.chain.stream({"question": question}, config=thread_config(thread)):
            if "answer" in part:
                out.print(escape(part["answer"]), end="")
            if part.get("query") and part["query"] != question:
                err.print(f"[dim]searched for: {escape(part['query'])}[/]")
            total.update(part)
            notices += part.get("notices", [])
    out.print()
    for citation in total.get("citations", []):
        out.print(f'  "{escape(citation["quote"])}"')
        out.print(f"[dim]    {escape(place(citation))}[/]")
    for notice in notices:
        err.print(f"[yellow]note:[/] {escape(notice)}")
