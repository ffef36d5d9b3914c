"""`softgraft status`."""

from __future__ import annotations

from rich.markup import escape

from softgraft.commands.console import DomainArgument, JsonOption, open_domain, out, print_json, print_notes


def status(domain: DomainArgument, json: JsonOption = False) -> None:
    """Show the state of a domain and the next command.

    Example: `softgraft status bank`
    """
    state = open_domain(domain).status()
    if json:
        print_json(state)
        return
    index, prompt = state["index"], state["soft_prompt"]
    soft_prompt = "none; the text twin is used"
    if prompt:
        adapters = {"lora": f", LoRA adapter of rank {prompt['adapter_rank']}", "ia3": ", IA3 adapter"}
        layers = f" in the last {prompt['layers']} layers" if prompt["layers"] else ""
        soft_prompt = (
            f"{prompt['kind']}, {prompt['length']} positions{layers}{adapters.get(prompt['adapter'], '')}, "
            f"{prompt['attention']} attention, dev F1 {prompt['dev_token_f1']:.3f} "
            f"(text twin {prompt['dev_token_f1_text_twin']:.3f})"
        )
    rows = [
        *((name, state[name]) for name in ("backbone", "task", "template", "attention")),
        ("questions", ", ".join(f"{count} {split}" for split, count in state["questions"].items()) or "none"),
        ("index", f"{index['documents']} documents, {index['passages']} passages" if index else "none"),
        ("soft prompt", soft_prompt),
    ]
    if state["unfinished_training"]:
        rows.append(("training", "unfinished; `softgraft train` continues it"))
    for row in state["evaluation"] or []:
        score, value = list(row.items())[1]
        if value is not None:
            rows.append(("test", f"{row['system']:<10} {score.replace('token_f1', 'token F1')} {value:.3f}"))
    out.print(f"[bold]{escape(state['title'])}[/] ({state['folder']})")
    for name, value in rows:
        out.print(f"  {name:<12} {escape(value)}")
    print_notes(state["notices"], out)
    out.print(f"next: {state['next']}")
