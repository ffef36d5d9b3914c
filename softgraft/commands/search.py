"""`softgraft train DOMAIN --search`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import yaml
from rich.box import SIMPLE_HEAD
from rich.table import Table

from softgraft.commands.console import on_score, on_train, out, print_json, progress_bars

if TYPE_CHECKING:
    from softgraft.domain import Domain
    from softgraft.jobs.search import SearchReport, Trial
    from softgraft.settings.domain_file import TrainSettings

# What a search varies. Other settings are shown only if they differ from their defaults.
_VARIED = ("kind", "length", "adapter", "adapter_rank", "epochs", "learning_rate", "adapter_learning_rate")


def search_domain(opened: Domain, settings: TrainSettings, minutes: float, limit: int | None, *, json: bool) -> None:
    """Search, and print the results."""
    from softgraft.jobs.search import search

    with progress_bars(not json) as progress:
        report = search(
            opened,
            minutes=minutes,
            limit=limit,
            settings=settings,
            on_trial=lambda number, total, trial: progress("trials", number, total, _remark(trial)),
            on_step=on_train(progress),
            on_score=on_score(progress),
        )
    if json:
        print_json(asdict(report))
        return
    out.print(_table(report))
    if report.left_out:
        out.print(
            f"{report.left_out} candidates did not fit into {minutes:g} minutes; run the same command to continue"
        )
    if report.best is None:
        out.print(f"every trial failed\nnext: softgraft train {opened.cli_name} --learning-rate {1e-3:g}")
        return
    out.print("the best settings, for domain.yaml:\n")
    out.print(yaml.safe_dump({"train": settings_to_show(report.best.settings)}, sort_keys=False))
    if report.kept:
        out.print(f"soft prompt kept in {opened.build / 'soft_prompt'}\nnext: softgraft eval {opened.cli_name}")
    else:
        out.print(
            "not kept: it does not beat its text twin on dev, so answers do not change\n"
            "next: more questions in train.jsonl"
        )


def settings_to_show(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that belong into domain.yaml: those that a search varies, and those without their default."""
    from softgraft.settings.domain_file import TrainSettings

    defaults = TrainSettings().model_dump()
    return {name: value for name, value in settings.items() if name in _VARIED or value != defaults[name]}


def _remark(trial: Trial) -> str:
    return "failed" if trial.dev_f1 is None else f"dev F1 {trial.dev_f1:.3f}"


def _table(report: SearchReport) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in (*_VARIED, "dev F1", "text twin", "dev loss", "seconds"):
        table.add_column(name.replace("_", " "), justify="left" if name in ("kind", "adapter") else "right")
    for trial in report.trials:
        settings = [str(trial.settings[name]) for name in _VARIED]
        scores = (trial.dev_f1, trial.dev_f1_text_twin, trial.dev_loss)
        best = report.best is not None and trial.fingerprint == report.best.fingerprint
        table.add_row(
            *settings,
            *("-" if score is None else f"{score:.3f}" for score in scores),
            f"{trial.seconds:.0f}",
            style="bold" if best else None,
        )
    for trial in report.trials:
        if trial.problem:
            table.caption = f"failed: {trial.problem}"
    return table
