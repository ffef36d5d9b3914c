"""`softgraft train`, which trains once or searches for good settings."""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml
from rich.table import Table

from soft_prompt.training.distributed import is_main_process
from softgraft.commands.console import (
    DomainArgument,
    JsonOption,
    LimitOption,
    err,
    on_score,
    on_train,
    open_domain,
    out,
    print_json,
    print_notes,
    progress_bars,
    simple_table,
)
from softgraft.commands.data_notes import data_notes
from softgraft.commands.evaluate import interval
from softgraft.errors import UsageError
from softgraft.settings.domain_file import TrainSettings

if TYPE_CHECKING:
    from softgraft.domain import Domain
    from softgraft.jobs.search import SearchReport
    from softgraft.training.task import TrainReport

# What a search varies. Other settings are shown only if they differ from their defaults.
_VARIED = ("kind", "length", "adapter", "adapter_rank", "epochs", "learning_rate", "adapter_learning_rate")
_NOT_KEPT = "not kept: it does not beat both its start and its text twin on dev, so answers do not change"


def _with_training_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one option for each training setting; it takes them as keyword arguments.

    Types, limits and descriptions are those of the settings. An option that is not given is None: the domain's setting
    applies.
    """
    signature = inspect.signature(command, eval_str=True)
    parameters = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    for name, field in TrainSettings.model_fields.items():
        limits = {
            limit: getattr(constraint, attribute)
            for constraint in field.metadata
            for limit, attribute in (("min", "ge"), ("max", "le"))
            if hasattr(constraint, attribute)
        }
        default = "domain.yaml" if field.default is None else f"domain.yaml or {field.default}"
        option = typer.Option(help=field.description, show_default=default, **limits)
        annotation = Annotated[field.annotation | None, option]  # type: ignore[name-defined]
        parameters.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation))
    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return command


@_with_training_options
def train_command(
    domain: DomainArgument,
    json: JsonOption = False,
    limit: LimitOption = None,
    search: Annotated[
        bool, typer.Option("--search", help="Try several settings on dev, those given first, and keep the best.")
    ] = False,
    minutes: Annotated[
        float | None, typer.Option(min=0.1, help="Time limit of a search; 30 minutes by default.")
    ] = None,
    **options: Any,
) -> None:
    """Train the soft prompt of a domain. An interrupted run continues where it stopped.

    Options override domain.yaml for this run. Every step and epoch is logged as a line of build/train_log.jsonl.

    Example: `softgraft train bank --epochs 4`

    Train an adapter alone: `softgraft train bank --kind adapter --adapter-rank 8`

    Train the last layers alone, which is faster: `softgraft train bank --layers 10`

    Search for good settings: `softgraft train bank --search --minutes 60`

    Train on two devices: `torchrun --nproc-per-node 2 -m softgraft train bank`
    """
    if minutes is not None and not search:
        raise UsageError(
            found=f"--minutes {minutes:g} without --search",
            expected="--minutes together with --search; a single run ends after its epochs",
            next_step=f"softgraft train {domain} --search --minutes {minutes:g}",
        )
    opened = open_domain(domain)
    settings = opened.file.train.with_options(options)
    try:
        if search:
            search_domain(opened, settings, 30.0 if minutes is None else minutes, limit, json=json)
            return
        with progress_bars(not json and is_main_process()) as progress:
            report = opened.train(
                limit=limit, settings=settings, on_step=on_train(progress), on_score=on_score(progress)
            )
    except KeyboardInterrupt:
        given = {**options, "limit": limit, "minutes": minutes}.items()
        typed = "".join(as_typed(name, value) for name, value in given) + (" --search" if search else "")
        err.print(f"\nTo continue where it stopped: softgraft train {domain + typed}")
        raise
    if not is_main_process():
        return
    if json:
        print_json(asdict(report))
        return
    unit = "questions" if opened.file.text_task is None else "texts"
    print_notes(data_notes(report.questions))
    for line in report_lines(report, unit):
        out.print(line)


def report_lines(report: TrainReport, unit: str) -> Iterator[str]:
    """A finished run in words: what was trained, the decision and its reasons, and what to try next."""
    adapters = {"lora": f" and a LoRA adapter of rank {report.adapter_rank}", "ia3": " and an IA3 adapter"}
    adapter_text = adapters.get(report.adapter or "", "")
    layers_text = f" in the last {report.layers} layers" if report.layers else ""
    yield (
        f"{report.kind} soft prompt of {report.length} positions{layers_text}{adapter_text}, trained on "
        f"{report.examples} {unit} in {report.seconds:.0f} s ({report.steps} steps); best of {report.epochs} epochs: "
        f"{report.best_epoch}"
    )
    for split, withheld in (("train", report.train_withheld), ("dev", report.dev_withheld)):
        if withheld:
            reasons = "; ".join(f"{count} {reason}" for reason, count in withheld.items())
            yield f"{split} {unit} that do not reach the model: {reasons}"
    yield (
        f"{report.metric} on {report.dev_questions} dev {unit}: {report.dev_score:.3f}, "
        f"text twin {report.dev_score_text_twin:.3f}"
    )
    if report.replayed:
        equal = f", weighted like {report.effective_replayed:.0f} equal ones" if report.effective_replayed else ""
        yield f"replayed: {report.replayed} {unit} of the domains that the start was trained on{equal}"
    if report.domain_accuracy is not None:
        yield (
            f"beside {report.unlabelled} unlabelled {unit} and {report.sourced} labelled ones of other domains; the "
            f"domain classifier was right for {report.domain_accuracy:.0%} of the {unit} in the last steps"
        )
    if report.taught:
        yield f"{report.taught} {unit} without an answer were answered by the teacher"
    if report.attack_share:
        yield f"attacks: an instruction was inserted in the evidence of {report.attack_share:.0%} of the train {unit}"
    if report.start:
        yield f"start: {report.start}, {report.metric} {report.dev_score_start or 0:.3f} before training"
    if report.comparison is not None:
        found = report.comparison
        chance = "; this may be chance" if found.by_chance else ""
        yield (
            f"difference {interval(found.difference)} (95%): better on {found.better} of {found.questions} {unit}, "
            f"equal on {found.equal}, worse on {found.worse}{chance}"
        )
    if report.majority is not None:
        m = report.majority
        yield (
            f"accuracy on {m.questions} answerable dev {unit}: {m.accuracy:.3f}; always answering {m.answer!r}: "
            f"{m.majority_accuracy:.3f}" + ("" if m.beaten else "; the soft prompt does not beat it")
        )
    yield f"kept in {report.folder}" if report.kept else _NOT_KEPT
    if report.form is not None:
        scores = ", ".join(f"{name} {value:.3f}" for name, value in report.form_scores.items())
        unused = "; the soft prompt is not used for answers" if report.form == "quote" else ""
        yield f"answers: {report.form}{unused} ({report.form_metric} of the forms on dev: {scores})"
    for number, step in enumerate(report.next_steps):
        yield ("next: " if number == 0 else "      ") + step


def search_domain(opened: Domain, settings: TrainSettings, minutes: float, limit: int | None, *, json: bool) -> None:
    """Search, and print the results."""
    from softgraft.jobs.search import search

    with progress_bars(not json) as progress:
        report = search(
            opened,
            minutes=minutes,
            limit=limit,
            settings=settings,
            on_trial=lambda number, total, trial: progress("trials", number, total, f"dev F1 {_rounded(trial.dev_f1)}"),
            on_step=on_train(progress),
            on_score=on_score(progress),
        )
    if json:
        print_json({**asdict(report), "questions": [asdict(one) for one in opened.question_reports()]})
        return
    print_notes(data_notes(opened.question_reports()))
    out.print(_table(report))
    if report.left_out:
        note = f"{report.left_out} candidates did not fit into {minutes:g} minutes; run the same command to continue"
        out.print(note)
    if report.best is None:
        out.print(f"every trial failed\nnext: softgraft train {opened.cli_name} --learning-rate {1e-3:g}")
        return
    out.print("the best settings, for domain.yaml:\n")
    out.print(yaml.safe_dump({"train": settings_to_show(report.best.settings)}, sort_keys=False))
    if report.kept:
        out.print(f"soft prompt kept in {opened.build / 'soft_prompt'}")
        if report.form is not None:
            unused = "; the soft prompt is not used for answers" if report.form == "quote" else ""
            out.print(f"answers on dev are best as `{report.form}`{unused}")
        out.print(f"next: softgraft eval {opened.cli_name}")
    else:
        out.print(f"{_NOT_KEPT}\nnext: more questions in train.jsonl")


def settings_to_show(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that belong into domain.yaml: those that a search varies, and those without their default."""
    from softgraft.settings.domain_file import TrainSettings

    defaults = TrainSettings().model_dump()
    return {name: value for name, value in settings.items() if name in _VARIED or value != defaults[name]}


def _rounded(score: float | None) -> str:
    return "-" if score is None else f"{score:.3f}"


def _table(report: SearchReport) -> Table:
    names = [name.replace("_", " ") for name in _VARIED]
    table = simple_table([*names, "dev F1", "text twin", "dev loss", "seconds"], left=("kind", "adapter"))
    for trial in report.trials:
        settings = [str(trial.settings[name]) for name in _VARIED]
        scores = map(_rounded, (trial.dev_f1, trial.dev_f1_text_twin, trial.dev_loss))
        best = report.best is not None and trial.fingerprint == report.best.fingerprint
        table.add_row(*settings, *scores, f"{trial.seconds:.0f}", style="bold" if best else None)
        if trial.problem:
            table.caption = f"failed: {trial.problem}"
    return table


def as_typed(name: str, value: object) -> str:
    """An option as it is typed on the command line; empty if it is not given."""
    option = name.replace("_", "-")
    if isinstance(value, bool):
        return f" --{option}" if value else f" --no-{option}"
    return "" if value is None else f" --{option} {shlex.quote(str(value))}"
