"""`softgraft new` and `demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from softgraft.commands.screen import Json, out, print_json


def new(
    name: Annotated[str, typer.Argument(help="Name of the new domain, or a path ending in it.")],
    source: Annotated[
        Path, typer.Option("--from", help="A folder of documents, or one with docs.jsonl, train.jsonl and test.jsonl.")
    ],
    title: Annotated[str | None, typer.Option(help="What the domain is called in messages.")] = None,
    language: Annotated[str, typer.Option(help="Language of the templates: en or zh.")] = "en",
    backbone: Annotated[str, typer.Option(help="embedded, a folder, a Hugging Face id, or openai:MODEL.")] = "embedded",
    task: Annotated[
        Literal["chat", "extractive-qa", "classification", "summarisation", "translation"] | None,
        typer.Option(help="What it does; by default chat, or extractive-qa where the questions have short answers."),
    ] = None,
    json: Json = False,
) -> None:
    """Make a domain from a folder of documents or a data folder.

    Example: [bold]softgraft new shop --from ~/shop-documents[/]

    One that labels texts: [bold]softgraft new intents --from ../shared/data/banking77 --task classification[/]
    """
    from softgraft.jobs.create import create_domain

    made = create_domain(name, source, title=title, language=language, backbone=backbone, task=task)
    if json:
        print_json(made)
        return
    counts = ", ".join(f"{count} {split}" for split, count in made["questions"].items())
    if made["task"] in ("chat", "extractive-qa"):
        out.print(f"made {made['folder']}: {made['documents']} document files, questions: {counts or 'none'}")
        out.print(f"next: softgraft ingest {name}")
        return
    labels = f", {made['labels']} labels (labels.yaml)" if made["labels"] else ""
    out.print(f"made {made['folder']} for {made['task']}, examples: {counts}{labels}")
    out.print(f"next: softgraft train {name}")


def demo_command(
    domain: Annotated[str, typer.Argument(metavar="DOMAIN", help="A name under domains/, or a path.")] = "bank",
    json: Json = False,
) -> None:
    """Show the whole job on an example domain: ingest, train, evaluate, answer.

    It trains and evaluates on a part of the questions, so that it ends within minutes.

    Example: [bold]softgraft demo[/]
    """
    from softgraft.commands.demo import run_demo

    run_demo(domain, as_json=json)
