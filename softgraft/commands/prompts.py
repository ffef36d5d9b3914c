"""`softgraft prompts list`, `show`, `check`, `diff` and `render`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from softgraft.commands.console import JsonOption, err, out, print_json, print_notes, styled
from softgraft.settings.location import domain_folder

if TYPE_CHECKING:
    from softgraft.templates.template_files import DomainTemplates

prompts_app = typer.Typer(help="List, show, check, compare or render the prompt templates.", no_args_is_help=True)
TemplateArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="A template, such as rag-chat or rag-chat.zh, or a file.")
]
DomainOption = Annotated[str | None, typer.Option("--domain", help="A domain, whose own templates come first.")]
# The exit code of a malformed template in `softgraft.errors`.
PROBLEMS = 4


@prompts_app.command("list")
def list_command(domain: DomainOption = None, json: JsonOption = False) -> None:
    """List the templates and the domains that use them.

    Example: `softgraft prompts list --domain bank`
    """
    from softgraft.templates.template_files import list_all

    rows = list_all(_templates_of(domain))
    if json:
        print_json({"templates": rows})
        return
    for row in rows:
        version = f"version {row['version']}" if row["version"] else "has problems; run: softgraft prompts check"
        used = f", used by {', '.join(row['used_by'])}" if row["used_by"] else ""
        out.print(
            styled(row["name"], "bold"), f" ({row['language']}, ", styled(version, "" if row["version"] else "red"),
            f"{used})", sep="",
        )  # fmt: skip
        if row["description"]:
            out.print(f"  {row['description']}")
        out.print(styled(f"  {row['path']}", "dim"))


@prompts_app.command("show")
def show_command(name: TemplateArgument, domain: DomainOption = None, json: JsonOption = False) -> None:
    """Print a template with its included blocks inserted.

    Example: `softgraft prompts show rag-chat`
    """
    from prompts import load_template
    from softgraft.templates.template_files import short_path, template_path, version_of

    path = template_path(name, _templates_of(domain))
    template = load_template(path)
    if json:
        print_json(
            {
                **version_of(template, path),
                "inputs": {n: {"kind": k, "optional": n in template.optional} for n, k in template.inputs.items()},
                "soft_slots": dict(template.soft_slots),
                "text": template.text,
            }
        )
        return
    err.print(styled(f"{short_path(path)}, hash {template.content_hash[:16]}", "dim"))
    out.print(template.text.rstrip("\n"))


@prompts_app.command("check")
def check_command(
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="PATHS", help="Files or folders; default: all templates.")
    ] = None,
    domain: DomainOption = None,
    json: JsonOption = False,
) -> None:
    """Check templates and report all problems.

    Each line is file:line: problem. The exit code is 4 if there are any problems.

    Example: `softgraft prompts check domains/bank/templates`
    """
    from softgraft.templates.template_files import check_all, short_path

    files, problems = check_all(paths or [], _templates_of(domain))
    if json:
        rows = [{"path": short_path(p.path), "line": p.line, "message": p.message} for p in problems]
        print_json({"files": [short_path(path) for path in files], "problems": rows})
    else:
        for problem in problems:
            out.print(f"{short_path(problem.path)}:{problem.line or 1}: {problem.message}")
        err.print(f"{len(files)} template files, {len(problems)} problems")
    if problems:
        raise typer.Exit(PROBLEMS)


@prompts_app.command("diff")
def diff_command(
    old: Annotated[str | None, typer.Argument(metavar="A", help="A template or file.")] = None,
    new: Annotated[str | None, typer.Argument(metavar="B", help="The template or file to compare it with.")] = None,
    domain: DomainOption = None,
    json: JsonOption = False,
) -> None:
    """Compare two templates.

    With A and a domain, compare the included template with the domain's own. With a domain alone, compare the template
    that its soft prompt was trained with and the current one.

    Example: `softgraft prompts diff --domain bank`
    """
    from softgraft.templates.template_files import compare

    comparison = compare(old, new, _templates_of(domain))
    if json:
        print_json(comparison)
        return
    colours = {"+": "green", "-": "red", "@": "cyan"}
    for line in comparison["diff"]:
        out.print(styled(line, colours.get(line[:1], "")))
    if not comparison["diff"]:
        out.print("the texts are identical")
    versions = " and ".join(f"version {comparison[s]['version']} ({comparison[s]['hash'][:8]})" for s in ("old", "new"))
    verdict = "the same text" if comparison["same_for_the_model"] else "different texts"
    err.print(f"{versions}: the model reads {verdict}")


@prompts_app.command("render")
def render_command(
    name: TemplateArgument,
    question: Annotated[str | None, typer.Option(help="The question, in quotes.")] = None,
    domain: DomainOption = None,
    context: Annotated[
        Path | None, typer.Option(help="File with passages: text, or JSON lines with title, heading and text.")
    ] = None,
    history: Annotated[
        Path | None, typer.Option(help="File with the earlier turns: a JSON list of [question, answer] pairs.")
    ] = None,
    values: Annotated[
        list[str] | None, typer.Option("--input", metavar="NAME=TEXT", help="Another text input; may be repeated.")
    ] = None,
    search: Annotated[bool, typer.Option(help="Search the domain's index for passages.")] = True,
    json: JsonOption = False,
) -> None:
    """Show the prompt that the model reads.

    It consists of control text, text, passages and soft slots, with the number of tokens of each.

    Example: `softgraft prompts render rag-chat --domain bank --question "What does a new card cost?"`

    The backbone's weights are not loaded, unless it has to rewrite a follow-up question for the search.
    """
    from softgraft.templates.render_input import open_for_rendering, read_history, read_inputs, read_passages
    from softgraft.templates.rendering import RenderInput, render_prompt

    given = RenderInput(
        question=question,
        turns=read_history(history) if history else (),
        passages=read_passages(context) if context else None,
        inputs=read_inputs(values or []),
    )
    opened, template = open_for_rendering(name, domain)
    rendering = render_prompt(opened, template, given, search=search and domain is not None)
    opened.close()
    if json:
        print_json(rendering)
    else:
        _print_rendering(rendering)


def _print_rendering(rendering: dict[str, Any]) -> None:
    template = rendering["template"]
    out.print(
        styled(template["name"], "bold"),
        f"({template['language']}, version {template['version']}, hash {template['hash'][:8]}) for "
        f"{rendering['backbone']}",
    )
    if rendering["query"] is not None:
        out.print(f"searched for: {rendering['query']}")
    totals: Counter[str] = Counter()
    for part in rendering["parts"]:
        count = "" if part["tokens"] is None else f", {part['tokens']} tokens"
        kind = f"soft slot {part['slot']}: {part['fill']}" if "slot" in part else part["kind"]
        label = f"{part['role']} {kind}".lstrip()
        out.print(styled(f"--- {label}{count}", "cyan"))
        vectors = part.get("fill", "text twin") != "text twin"
        out.print(styled(part["text"], "dim" if vectors else ""))
        totals[part["kind"]] += part["tokens"] or 0
    if rendering["tokens"] is None:
        out.print("tokens: unknown, because the model is behind an API; it gets the text twin in the soft slot")
    else:
        by_kind = ", ".join(f"{kind} {count}" for kind, count in totals.items())
        out.print(styled(f"{rendering['tokens']} tokens", "bold"), f"of at most {rendering['context']}: {by_kind}")
    if rendering["refused"]:
        print_notes(["the evidence is too weak, so the answer is the refusal and the model is not called"], out)


def _templates_of(name: str | None) -> DomainTemplates | None:
    from softgraft.templates.template_files import domain_templates

    return domain_templates(domain_folder(name)) if name is not None else None
