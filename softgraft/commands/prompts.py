"""`softgraft prompts list`, `show`, `check`, `diff` and `render`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from softgraft.commands.screen import Json, err, out, print_json
from softgraft.settings.workplace import domain_folder

if TYPE_CHECKING:
    from softgraft.templates.rendering import Rendering
    from softgraft.templates.template_files import DomainTemplates

prompts_app = typer.Typer(
    help="Look at the prompt templates: list, show, check, diff, render.", no_args_is_help=True, rich_markup_mode="rich"
)
Named = Annotated[str, typer.Argument(metavar="NAME", help="A template, such as rag-chat or rag-chat.zh, or a file.")]
OfDomain = Annotated[str | None, typer.Option("--domain", help="A domain, whose own templates come first.")]
# What a malformed template ends with, as in the table of errors.
PROBLEMS = 4


@prompts_app.command("list")
def list_command(domain: OfDomain = None, json: Json = False) -> None:
    """List the templates: version, language, where each is, and which domains use it.

    Example: [bold]softgraft prompts list --domain bank[/]
    """
    from softgraft.templates.template_files import listed

    rows = listed(_domain(domain))
    if json:
        print_json({"templates": rows})
        return
    for row in rows:
        version = (
            f"version {row['version']}" if row["version"] else "[red]has problems[/]; run: softgraft prompts check"
        )
        used = f", used by {', '.join(row['used_by'])}" if row["used_by"] else ""
        out.print(f"[bold]{row['name']}[/] ({row['language']}, {version}{escape(used)})")
        if row["description"]:
            out.print(f"  {escape(row['description'])}")
        out.print(f"  [dim]{escape(row['path'])}[/]")


@prompts_app.command("show")
def show_command(name: Named, domain: OfDomain = None, json: Json = False) -> None:
    """Print a template's file with the blocks that it includes put in.

    Example: [bold]softgraft prompts show rag-chat[/]
    """
    from prompts import load_template
    from softgraft.templates.template_files import shown, template_path

    path = template_path(name, _domain(domain))
    template = load_template(path)
    if json:
        print_json(
            {
                "path": shown(path),
                "name": template.name,
                "language": template.language,
                "version": template.version,
                "hash": template.content_hash,
                "inputs": {n: {"kind": k, "optional": n in template.optional} for n, k in template.inputs.items()},
                "soft_slots": dict(template.soft_slots),
                "text": template.text,
            }
        )
        return
    err.print(f"[dim]{escape(shown(path))}, hash {template.content_hash[:16]}[/]")
    out.print(escape(template.text.rstrip("\n")))


@prompts_app.command("check")
def check_command(
    paths: Annotated[list[Path] | None, typer.Argument(help="Files or folders; none checks all there are.")] = None,
    domain: OfDomain = None,
    json: Json = False,
) -> None:
    """Report every problem of every template, a line each as file:line: problem; exit code 4 if there are any.

    Example: [bold]softgraft prompts check domains/bank/templates[/]
    """
    from softgraft.templates.template_files import checked, shown

    files, problems = checked(paths or [], _domain(domain))
    if json:
        found = [{"path": shown(p.path), "line": p.line, "message": p.message} for p in problems]
        print_json({"files": [shown(path) for path in files], "problems": found})
    else:
        for problem in problems:
            out.print(escape(f"{shown(problem.path)}:{problem.line or 1}: {problem.message}"))
        err.print(f"{len(files)} template files, {len(problems)} problems")
    if problems:
        raise typer.Exit(PROBLEMS)


@prompts_app.command("diff")
def diff_command(
    old: Annotated[str | None, typer.Argument(metavar="[A]", help="A template or file.")] = None,
    new: Annotated[str | None, typer.Argument(metavar="[B]", help="The one it is compared with.")] = None,
    domain: OfDomain = None,
    json: Json = False,
) -> None:
    """Compare two templates; with a domain, what ships with its own; with a domain alone, what it was trained with.

    Example: [bold]softgraft prompts diff --domain bank[/]
    """
    from softgraft.templates.template_files import compared

    found = compared(old, new, _domain(domain))
    if json:
        print_json(found)
        return
    colours = {"+": "green", "-": "red", "@": "cyan"}
    for line in found["diff"]:
        colour = colours.get(line[:1])
        out.print(f"[{colour}]{escape(line)}[/]" if colour else escape(line))
    if not found["diff"]:
        out.print("the texts are the same")
    sides = " and ".join(f"version {found[side]['version']} ({found[side]['hash'][:8]})" for side in ("old", "new"))
    said = "the same" if found["same_for_the_model"] else "something else"
    err.print(f"{sides}: the model reads {said}")


@prompts_app.command("render")
def render_command(
    name: Named,
    question: Annotated[str | None, typer.Option(help="The question, in quotes.")] = None,
    domain: OfDomain = None,
    context: Annotated[
        Path | None, typer.Option(help="Passages from a file: text, or JSON lines with title, heading and text.")
    ] = None,
    history: Annotated[
        Path | None, typer.Option(help="The conversation before: a JSON list of [question, answer] pairs.")
    ] = None,
    values: Annotated[
        list[str] | None, typer.Option("--input", metavar="NAME=TEXT", help="A further text input; may be repeated.")
    ] = None,
    search: Annotated[bool, typer.Option(help="Search the domain's index for passages.")] = True,
    json: Json = False,
) -> None:
    """Show exactly what the model will read: its control text, passages and soft slots, with the tokens of each.

    Example: [bold]softgraft prompts render rag-chat --domain bank --question "What does a new card cost?"[/]

    No weights of the backbone are loaded, unless it has to rewrite a follow-up before anything can be searched for.
    """
    from softgraft.templates.render_input import opened_for, read_history, read_inputs, read_passages
    from softgraft.templates.rendering import Given, as_json, show_prompt

    given = Given(
        question=question,
        turns=read_history(history) if history else (),
        passages=read_passages(context) if context else None,
        inputs=read_inputs(values or []),
    )
    opened, template = opened_for(name, domain)
    found = show_prompt(opened, template, given, search=search and domain is not None)
    opened.close()
    if json:
        print_json(as_json(found))
    else:
        _show(found)


def _show(found: Rendering) -> None:
    template = found.template
    out.print(
        f"[bold]{template.name}[/] ({template.language}, version {template.version}, hash "
        f"{template.content_hash[:8]}) as {escape(found.backbone)} reads it"
    )
    if found.query is not None:
        out.print(f"searched for: {escape(found.query)}")
    sums: dict[str, int] = {}
    for part in found.parts:
        count = "" if part.tokens is None else f", {part.tokens} tokens"
        what = f"soft slot {part.slot}: {part.fill}" if part.slot else part.kind
        out.print(f"[cyan]--- {escape(' '.join(p for p in (part.role, what) if p))}{count}[/]")
        out.print(f"[dim]{escape(part.text)}[/]" if part.slot and part.fill != "text twin" else escape(part.text))
        sums[part.kind] = sums.get(part.kind, 0) + (part.tokens or 0)
    if found.tokens is None:
        out.print("tokens are not known: the model is behind an API, and gets the text twin in place of a soft slot")
    else:
        of = ", ".join(f"{kind} {count}" for kind, count in sums.items())
        out.print(f"[bold]{found.tokens} tokens[/] of {found.context} in all: {of}")
    if found.refused:
        out.print("[yellow]note:[/] the evidence is too weak, so the model is not asked and the refusal is said")


def _domain(name: str | None) -> DomainTemplates | None:
    from softgraft.templates.template_files import domain_templates

    return domain_templates(domain_folder(name)) if name is not None else None
