"""`softgraft status`."""

from __future__ import annotations

from rich.markup import escape

from softgraft.commands.screen import Json, Name, out, print_json
from softgraft.domain import resolve


def status(domain: Name, json: Json = False) -> None:
    """Say what a domain has, what it lacks, and what to type next.

    Example: [bold]softgraft status bank[/]
    """
    found = resolve(domain).status()
    if json:
        print_json(found)
        return
    out.print(f"[bold]{escape(found['title'])}[/] ({found['folder']})")
    out.print(f"  backbone     {found['backbone']}")
    out.print(f"  task         {found['task']}")
    out.print(f"  template     {found['template']}")
    out.print(f"  attention    {found['attention']}")
    counts = ", ".join(f"{count} {split}" for split, count in found["questions"].items())
    out.print(f"  questions    {counts or 'none'}")
    index = found["index"]
    out.print(
        f"  index        {index['documents']} documents, {index['passages']} passages"
        if index
        else "  index        none"
    )
    prompt = found["soft_prompt"]
    if prompt:
        beside = {"lora": f", adapter of rank {prompt['adapter_rank']}", "ia3": ", adapter of scales"}
        part = f" in the last {prompt['layers']} layers" if prompt["layers"] else ""
        out.print(
            f"  soft prompt  {prompt['kind']}, {prompt['length']} positions{part}{beside.get(prompt['adapter'], '')}, "
            f"{prompt['attention']} attention, dev F1 {prompt['dev_token_f1']:.3f} "
            f"(text twin {prompt['dev_token_f1_text_twin']:.3f})"
        )
    else:
        out.print("  soft prompt  none kept; the text twin is used")
    if found["unfinished_training"]:
        out.print("  training     unfinished; `softgraft train` goes on where it stopped")
    for row in found["evaluation"] or []:
        for name, value in list(row.items())[1:]:
            if value is not None:
                shown = "token F1" if name == "token_f1" else name
                out.print(f"  test         {row['system']:<10} {shown} {value:.3f}")
    for notice in found["notices"]:
        out.print(f"[yellow]note:[/] {escape(notice)}")
    out.print(f"next: {found['next']}")
