"""`softgraft train` and `eval`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Literal

import typer

from soft_prompt.training.devices import speaks
from softgraft.commands.screen import (
    Json,
    Limit,
    Name,
    bars,
    err,
    on_train,
    out,
    print_json,
    report_lines,
    report_table,
)
from softgraft.commands.search import search_domain
from softgraft.commands.task import evaluate_task_domain
from softgraft.domain import resolve
from softgraft.errors import UsageError


def train_command(
    domain: Name,
    json: Json = False,
    limit: Limit = None,
    kind: Annotated[
        Literal["embedding", "kv", "adapter"] | None,
        typer.Option(help="What is trained: vectors, or an adapter alone behind the text twin."),
    ] = None,
    length: Annotated[int | None, typer.Option(min=1, help="Positions of the soft prompt.")] = None,
    adapter: Annotated[
        Literal["none", "lora", "ia3"] | None,
        typer.Option(help="Weights beside the frozen ones: low-rank ones, or scales."),
    ] = None,
    adapter_rank: Annotated[
        int | None, typer.Option(min=0, max=64, help="Rank of the low-rank ones; 0 trains none.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1)] = None,
    batch_size: Annotated[int | None, typer.Option(min=1)] = None,
    learning_rate: Annotated[float | None, typer.Option(min=1e-8)] = None,
    adapter_learning_rate: Annotated[float | None, typer.Option(min=1e-8)] = None,
    seed: Annotated[int | None, typer.Option()] = None,
    layers: Annotated[
        int | None, typer.Option(min=1, help="Train only the last so many layers, of the kinds kv and adapter.")
    ] = None,
    reparameterise: Annotated[
        bool | None,
        typer.Option("--reparameterise/--no-reparameterise", help="Train through a small network, thrown away later."),
    ] = None,
    random_length: Annotated[
        bool | None,
        typer.Option("--random-length/--whole-length", help="Train so that any shorter soft prompt works too."),
    ] = None,
    micro_batch: Annotated[
        int | None, typer.Option(min=1, help="Examples that run at once; by default as many as memory has room for.")
    ] = None,
    search: Annotated[
        bool, typer.Option("--search", help="Try several settings on dev, those given first, and keep the best.")
    ] = False,
    minutes: Annotated[float | None, typer.Option(min=0.1, help="How long a search may take; 30 by default.")] = None,
) -> None:
    """Train the soft prompt of a domain; stopped at any time, it goes on where it was.

    Options replace what domain.yaml says for this run. Every step and epoch is a line of build/train_log.jsonl.

    Example: [bold]softgraft train bank --epochs 4[/]

    Only weights beside the frozen ones: [bold]softgraft train bank --kind adapter --adapter-rank 8[/]

    Only the last layers, which is faster: [bold]softgraft train bank --layers 10[/]

    The settings that suit it: [bold]softgraft train bank --search --minutes 60[/]

    On two devices: [bold]torchrun --nproc-per-node 2 -m softgraft train bank[/]
    """
    if minutes is not None and not search:
        raise UsageError(
            found=f"--minutes {minutes:g} without --search",
            expected="a time budget for a search alone; a single run ends after its epochs",
            next_step=f"softgraft train {domain} --search --minutes {minutes:g}",
        )
    opened = resolve(domain)
    given = {"kind": kind, "length": length, "adapter": adapter, "adapter_rank": adapter_rank, "epochs": epochs,
             "batch_size": batch_size, "learning_rate": learning_rate, "adapter_learning_rate": adapter_learning_rate,
             "seed": seed, "layers": layers, "reparameterise": reparameterise, "random_length": random_length,
             "micro_batch": micro_batch}  # fmt: skip
    settings = opened.file.train.with_options(given)
    again = {**given, "limit": limit, "search": search or None, "minutes": minutes}
    try:
        if search:
            search_domain(opened, settings, 30.0 if minutes is None else minutes, limit, json=json)
            return
        with bars(not json and speaks()) as tell:
            report = opened.train(
                limit=limit,
                settings=settings,
                on_step=on_train(tell),
                on_score=lambda name, done, total: tell(f"answering dev, {name}", done, total, ""),
            )
    except KeyboardInterrupt:
        err.print(
            f"\nTo go on where it stopped: softgraft train {domain}"
            + "".join(_typed(k, v) for k, v in again.items() if v is not None)
        )
        raise
    if not speaks():
        return
    if json:
        print_json(asdict(report))
        return
    asked = "questions" if opened.file.text_task is None else "texts"
    adapters = {"lora": f" and an adapter of rank {report.adapter_rank}", "ia3": " and an adapter of scales"}
    beside = adapters.get(report.adapter or "", "")
    top = f" in the last {report.layers} layers" if report.layers else ""
    out.print(
        f"{report.kind} soft prompt of {report.length} positions{top}{beside}, trained on {report.examples} {asked} "
        f"in {report.seconds:.0f} s; best of {report.epochs} epochs: {report.best_epoch}"
    )
    out.print(
        f"{report.metric} on {report.dev_questions} dev {asked}: {report.dev_score:.3f}, "
        f"text twin {report.dev_score_text_twin:.3f}"
    )
    if report.kept:
        out.print(f"kept in {report.folder}\nnext: softgraft eval {domain}")
    else:
        name = "adapter_learning_rate" if settings.kind == "adapter" else "learning_rate"
        lower = _typed(name, f"{getattr(settings, name) / 2:g}")
        out.print(
            "not kept: it does not beat its text twin on dev, so answers go on as before\n"
            f"next: more {asked} in train.jsonl, or softgraft train {domain}{lower}"
        )


def _typed(name: str, value: object) -> str:
    """An option as a person types it."""
    if name == "random_length":
        return " --random-length" if value else " --whole-length"
    if name == "search":
        return " --search"
    if isinstance(value, bool):
        return f" --{'' if value else 'no-'}{name}"
    return f" --{name.replace('_', '-')} {value}"


def evaluate_command(
    domain: Name,
    json: Json = False,
    limit: Limit = None,
    split: Annotated[Literal["dev", "test"], typer.Option(help="Which questions.")] = "test",
    systems: Annotated[str | None, typer.Option(help="Only these, such as text-twin,soft.")] = None,
) -> None:
    """Compare no retrieval, template, text twin and soft prompt on held-out questions.

    Example: [bold]softgraft eval bank --json > bank.json[/]
    """
    named = [name.strip() for name in systems.split(",")] if systems is not None else None
    opened = resolve(domain)
    if opened.file.text_task is not None:
        evaluate_task_domain(opened, split, limit, named, json=json)
        return
    with bars(not json) as tell:
        report = opened.evaluate(
            split=split,
            limit=limit,
            systems=named,
            on_progress=lambda name, done, total: tell(name, done, total, ""),
        )
    if json:
        print_json(report.as_json())
        return
    out.print(report_table(report))
    for line in report_lines(report):
        out.print(line)
    out.print(f"written to {opened.build / 'reports'}\nnext: softgraft chat {domain}")
