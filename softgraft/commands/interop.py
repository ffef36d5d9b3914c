"""`softgraft export` and `import`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from softgraft.commands.console import (
    DomainArgument,
    JsonOption,
    on_score,
    open_domain,
    out,
    print_json,
    print_notes,
    progress_bars,
)


def export_command(
    domains: Annotated[list[str], typer.Argument(metavar="DOMAIN", help="Names under domains/, or paths.")],
    format: Annotated[
        Literal["peft", "hf", "gguf"],
        typer.Option(
            help="peft: a PEFT adapter. hf: a Transformers checkpoint with new tokens, for vLLM and similar servers. "
            "gguf: the same for llama.cpp.",
        ),
    ],
    folder: Annotated[Path, typer.Option("--out", help="A new or empty folder; for gguf a new file.")],
    json: JsonOption = False,
) -> None:
    """Export a domain's graft to another program.

    Checkpoints and GGUF files hold `embedding` soft prompts without an adapter, of one or more domains.

    Example: `softgraft export bank --format peft --out bank-peft`

    Two domains for another server: `softgraft export bank clinic --format hf --out served`
    """
    from softgraft.jobs.interop import export_grafts

    report = export_grafts([open_domain(name) for name in domains], format, folder)
    if json:
        print_json(asdict(report))
        return
    out.print(f"{report.method}, {report.size:,} bytes in {report.folder}: {', '.join(report.files)}")
    print_notes(report.notes)
    for command in report.next:
        out.print(f"next: {command}")


def import_command(
    domain: DomainArgument,
    folder: Annotated[Path, typer.Option("--from", help="Folder of an adapter that PEFT saved.")],
    json: JsonOption = False,
    keep: Annotated[bool, typer.Option("--keep", help="Use it even if it does not beat the text twin on dev.")] = False,
) -> None:
    """Import a PEFT adapter into a domain's soft slot. It is kept if it beats the text twin on dev.

    Supports prompt tuning, prefix tuning, LoRA and activated LoRA, from safetensors files.

    Example: `softgraft import bank --from bank-peft`
    """
    from softgraft.jobs.interop import import_graft

    with progress_bars(not json) as progress:
        report = import_graft(open_domain(domain), folder, keep=keep, on_score=on_score(progress))
    if json:
        print_json(asdict(report))
        return
    adapter = f", adapter of rank {report.adapter_rank}" if report.adapter_rank else ""
    out.print(f"{report.method}: {report.kind}, {report.length} positions{adapter}")
    out.print(
        f"token F1 on {report.dev_questions} dev questions: {report.dev_f1:.3f}, "
        f"text twin {report.dev_f1_text_twin:.3f}"
    )
    print_notes(report.notes)
    if report.kept:
        out.print(f"kept in {report.folder}\nnext: softgraft eval {domain}")
    else:
        out.print(
            "not kept: it does not beat the text twin on dev, so answers do not change\n"
            f"next: softgraft train {domain}, or to keep it anyway: "
            f"softgraft import {domain} --from {folder} --keep"
        )
