"""`softgraft status` and `doctor`: the state of a domain, and of the machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from chains.speakers.secrets import without_secrets
from softgraft.commands.console import (
    DomainArgument,
    JsonOption,
    open_domain,
    out,
    print_json,
    print_next,
    print_notes,
    styled,
)
from softgraft.jobs.findings import Finding
from softgraft.settings.location import domain_folder

# More files read by text recognition are counted.
_FILES_SHOWN = 3
_FORMS = {
    "quote": "the best sentence of the documents, verbatim",
    "generate": "the model's own words, each sentence checked against the documents",
    "both": "the model's own words, then the best sentence of the documents",
    "extract": "sentences of the documents that the model selects",
}
# The exit code of `doctor` if something is broken.
BROKEN = 1


def status(domain: DomainArgument, json: JsonOption = False) -> None:
    """Show the state of a domain and the next command.

    Example: `softgraft status bank`
    """
    state = open_domain(domain).status()
    if json:
        print_json(state)
        return
    index, prompt = state["index"], state["soft_prompt"]
    scale = state["evidence_score"]
    evidence = "default scale" if scale["scale"] == "default" else f"own scale, from {scale['questions']} questions"
    soft_prompt = "none"
    if prompt:
        adapters = {"lora": f", LoRA adapter of rank {prompt['adapter_rank']}", "ia3": ", IA3 adapter"}
        layers = f" in the last {prompt['layers']} layers" if prompt["layers"] else ""
        soft_prompt = (
            f"{prompt['kind']}, {prompt['length']} positions{layers}{adapters.get(prompt['adapter'], '')}, "
            f"{prompt['attention']} attention, dev F1 {prompt['dev_token_f1']:.3f} "
            f"(text twin {prompt['dev_token_f1_text_twin']:.3f})"
        )
        if prompt["of_another_domain"]:
            soft_prompt += f"; of another domain: {', '.join(prompt['trained_on'])}, whose scores these are"
    rows = [
        *((name, state[name]) for name in ("backbone", "task", "template", "attention")),
        ("questions", ", ".join(f"{count} {split}" for split, count in state["questions"].items()) or "none"),
        ("index", f"{index['documents']} documents, {index['passages']} passages" if index else "none"),
        *([("OCR", _recognised(index["ocr"]))] if index and index["ocr"] else []),
        ("evidence", evidence),
        ("soft prompt", soft_prompt),
        *([("start", _start_text(state["start"]))] if state["start"] else []),
        *([("answers", _FORMS[state["answer_form"]])] if state["answer_form"] else []),
    ]
    if state["unfinished_training"]:
        rows.append(("training", "unfinished; `softgraft train` continues it"))
    elif state["nothing_kept"]:
        rows.append(("training", "the last run kept no soft prompt, so answers did not change"))
    for row in state["evaluation"] or []:
        score, value = list(row.items())[1]
        if value is not None:
            rows.append(("test", f"{row['system']:<10} {score.replace('token_f1', 'token F1')} {value:.3f}"))
    out.print(styled(state["title"], "bold"), f"({state['folder']})")
    for name, value in rows:
        out.print(f"  {name:<12} {value}")
    print_notes([*state["notices"], *state["reading"]], out)
    print_next(state)


def _recognised(files: list[str]) -> str:
    """The files with pages that text recognition read."""
    more = f" and {len(files) - _FILES_SHOWN} more" if len(files) > _FILES_SHOWN else ""
    return f"pages of {', '.join(files[:_FILES_SHOWN])}{more} read by text recognition, which may get a number wrong"


def _start_text(start: Mapping[str, Any]) -> str:
    """What the domain starts from, with licences and the gain on domains that it was not trained on."""
    if not start["trained_on"]:
        return str(start["name"])
    gain = ""
    if start["gain"] is not None:
        gain = f"; token F1 {start['gain']:+.3f} against the text twin on {start['unseen']} unseen domains"
    return f"{start['name']}, trained on {start['licences']}{gain}"


def doctor(
    domain: Annotated[
        str | None, typer.Argument(metavar="[DOMAIN]", help="A name under domains/, or a path; examined as well.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Examine the machine, the installation and a domain; name a fix for what is wrong.

    It reports Python, PyTorch, device and number format, memory, disk, cache, packages, and the weights with their
    digests. No model is loaded. The exit code is 1 if something is broken.

    Example: `softgraft doctor bank`
    """
    folder = domain_folder(domain) if domain is not None else None
    findings = [_without_secrets(finding) for finding in _examine(folder)]
    broken = [finding for finding in findings if finding.state == "broken"]
    if json:
        print_json({"broken": len(broken), "findings": [asdict(finding) for finding in findings]})
    else:
        marks = {"ok": ("ok", "green"), "note": ("note", "yellow"), "broken": ("bad", "bold red")}
        width = max(len(finding.name) for finding in findings)
        for finding in findings:
            mark, colour = marks[finding.state]
            out.print(styled(f"{mark:<4}", colour), f" {finding.name:<{width}}  {finding.value}")
            if finding.fix is not None:
                out.print(f"      {'':<{width}}  fix: {finding.fix}")
        out.print(f"{len(broken)} broken" if broken else "nothing is broken")
    if broken:
        raise typer.Exit(BROKEN)


def _without_secrets(finding: Finding) -> Finding:
    return replace(finding, value=without_secrets(finding.value), fix=finding.fix and without_secrets(finding.fix))


def _examine(folder: Path | None) -> list[Finding]:
    try:
        # Imports PyTorch, which takes seconds; `--help` must not wait for it.
        from softgraft.jobs.doctor import examine
    except (ImportError, OSError) as error:
        line = (str(error).splitlines() or [type(error).__name__])[0]
        return [
            Finding("installation", f"does not import: {line}", "broken", "pip install --force-reinstall softgraft")
        ]
    return examine(folder)
