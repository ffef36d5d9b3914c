"""`softgraft export` and `import`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape

from softgraft.commands.screen import Json, Name, bars, err, out, print_json
from softgraft.domain import resolve


def export_command(
    domains: Annotated[list[str], typer.Argument(metavar="DOMAIN", help="Names under domains/, or paths.")],
    way: Annotated[
        Literal["peft", "hf", "gguf"],
        typer.Option(
            "--format",
            help="peft: an adapter of PEFT. hf: a Transformers checkpoint with new tokens, for vLLM and its like. "
            "gguf: the same for llama.cpp.",
        ),
    ],
    folder: Annotated[Path, typer.Option("--out", help="A new or empty folder; for gguf a new file.")],
    json: Json = False,
) -> None:
    """Write a domain's graft for programs that know nothing of Softgraft.

    Checkpoints and GGUF files hold `embedding` soft prompts without an adapter, of one or more domains.

    Example: [bold]softgraft export bank --format peft --out bank-peft[/]

    Two domains for another server: [bold]softgraft export bank clinic --format hf --out served[/]
    """
    from softgraft.jobs.exchange import export_grafts

    report = export_grafts([resolve(name) for name in domains], way, folder)
    if json:
        print_json(asdict(report))
        return
    out.print(f"{report.method}, {report.size:,} bytes in {escape(report.folder)}: {', '.join(report.files)}")
    for note in report.notes:
        err.print(f"[yellow]note:[/] {escape(note)}")
    for command in report.next:
        out.print(f"next: {escape(command)}")


def import_command(
    domain: Name,
    folder: Annotated[Path, typer.Option("--from", help="The folder of an adapter that PEFT saved.")],
    json: Json = False,
    keep: Annotated[bool, typer.Option("--keep", help="Use it even if it does not beat the text twin on dev.")] = False,
) -> None:
    """Read an adapter of PEFT into a domain's soft slot; it is kept if it beats the text twin on dev.

    Prompt tuning, prefix tuning, LoRA and activated LoRA are read, from safetensors alone.

    Example: [bold]softgraft import bank --from bank-peft[/]
    """
    from softgraft.jobs.exchange import import_graft

    with bars(not json) as tell:
        report = import_graft(
            resolve(domain),
            folder,
            keep=keep,
            on_score=lambda name, done, total: tell(f"answering dev, {name}", done, total, ""),
        )
    if json:
        print_json(asdict(report))
        return
    beside = f", adapter of rank {report.adapter_rank}" if report.adapter_rank else ""
    out.print(f"{report.method}: {report.kind}, {report.length} positions{beside}")
    out.print(
        f"token F1 on {report.dev_questions} dev questions: {report.dev_f1:.3f}, "
        f"text twin {report.dev_f1_text_twin:.3f}"
    )
    for note in report.notes:
        err.print(f"[yellow]note:[/] {escape(note)}")
    if report.kept:
        out.print(f"kept in {report.folder}\nnext: softgraft eval {domain}")
    else:
        out.print(
            "not kept: it does not beat the text twin on dev, so answers go on as before\n"
            f"next: softgraft train {domain}, or to use it all the same: "
            f"softgraft import {domain} --from {escape(str(folder))} --keep"
        )
