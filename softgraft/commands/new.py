"""`softgraft new`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from softgraft.commands.console import JsonOption, out, print_json, print_left_out, print_notes, print_skipped
from softgraft.settings.domain_file import Task


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the new domain, or a path that ends in it.")],
    source: Annotated[
        Path,
        typer.Option("--from", help="A folder of documents, or a data folder with docs.jsonl and question files."),
    ],
    title: Annotated[str | None, typer.Option(help="Title of the domain in messages.")] = None,
    language: Annotated[str, typer.Option(help="Language of the templates: en or zh.")] = "en",
    backbone: Annotated[
        str, typer.Option(help="embedded, a folder, a Hugging Face id, or PROVIDER:MODEL.")
    ] = "embedded",
    task: Annotated[
        Task | None,
        typer.Option(help="Task of the domain. Default: chat, or extractive-qa if the questions have no responses."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Create a domain from a folder of documents or a data folder.

    Example: `softgraft new shop --from ~/shop-documents`

    Create a domain that labels texts: `softgraft new intents --from banking77 --task classification`
    """
    from softgraft.jobs.create import create_domain

    created = create_domain(name, source, title=title, language=language, backbone=backbone, task=task)
    if json:
        print_json(created)
        return
    print_left_out(created["left_out"])
    print_skipped(created["skipped"])
    print_notes([f"{file}: unused columns: {', '.join(names)}" for file, names in created["ignored_columns"].items()])
    counts = ", ".join(f"{count} {split}" for split, count in created["questions"].items())
    if created["task"] in ("chat", "extractive-qa"):
        folder = created["folder"]
        out.print(f"created {folder}: {created['documents']} document files, questions: {counts or 'none'}")
        print_notes(created["reading"])
        out.print(f"next: softgraft ingest {name}")
    else:
        labels = f", {created['labels']} labels (labels.yaml)" if created["labels"] else ""
        out.print(f"created {created['folder']} for {created['task']}, examples: {counts}{labels}")
        print_notes(created["reading"])
        out.print(f"next: softgraft train {name}")
