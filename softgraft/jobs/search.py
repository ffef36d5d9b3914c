"""A search for good training settings: candidates are trained and compared on dev within a time budget."""

from __future__ import annotations

import hashlib
import logging
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from evaluation.items import spread
from retrieval.store.checked_file import read_checked, with_checksum
from soft_prompt import BackboneError, DivergedError
from soft_prompt.files import write_bytes
from soft_prompt.training.checkpoint import remove_checkpoint
from soft_prompt.training.distributed import is_distributed
from softgraft.assembly.answer_form import FORM, load_form
from softgraft.domain import Domain
from softgraft.errors import UsageError
from softgraft.settings.domain_file import TrainSettings
from softgraft.training.run_data import TrainingSet
from softgraft.training.task import OnScore, OnStep, TrainReport

FILE = "search.json"
_log = logging.getLogger(__name__)
_Score = Annotated[float, Field(ge=0, le=1)]
_Measured = Annotated[float, Field(ge=0, le=1e9)]


@dataclass(frozen=True, slots=True)
class Trial:
    """One training run of a search.

    Attributes:
        fingerprint: identifies the settings and everything else that the scores depend on.
        settings: as under `train:` in domain.yaml.
        dev_f1, dev_f1_text_twin: token F1 on dev; None if the trial failed.
        dev_f1_start: of the source graft that it started from; None if that was the text twin.
        vectors_sha256: of the soft prompt, if the trial kept it.
        problem: why the trial failed: it diverged, or the backbone does not support the settings.
    """

    fingerprint: str
    settings: dict[str, Any]
    dev_f1: _Score | None = None
    dev_f1_text_twin: _Score | None = None
    dev_f1_start: _Score | None = None
    dev_loss: _Measured | None = None
    seconds: _Measured = 0.0
    vectors_sha256: str | None = None
    problem: str | None = None


_TRIALS = TypeAdapter(dict[Literal["trials"], tuple[Trial, ...]])


@dataclass(frozen=True, slots=True)
class SearchReport:
    """How a search ended.

    Attributes:
        trials: in the order of the candidates, including those of earlier searches.
        best: the trial with the highest token F1 on dev.
        kept: whether the best trial beat its text twin, so that the domain uses it from now on.
        left_out: number of candidates that did not fit into the time budget.
        form: the form of the answers that is best on dev with it; None if nothing was kept, or domain.yaml sets a form.
    """

    domain: str
    trials: tuple[Trial, ...]
    best: Trial | None
    kept: bool
    left_out: int
    seconds: float
    form: str | None = None


def candidates(base: TrainSettings) -> list[TrainSettings]:
    """The settings to try: the base, then changes of one setting, the most promising first.

    A change that leaves the limits of a setting, such as twice a very large number, is left out.
    """
    length = base.length or TrainSettings.model_fields["length"].default
    higher_rank: dict[str, Any] = {"adapter": "lora", "adapter_rank": min(64, 2 * base.adapter_rank)}
    # The kind `adapter` trains no vectors.
    rate = "adapter_learning_rate" if base.kind == "adapter" else "learning_rate"
    changes: list[dict[str, Any]] = [{}, {rate: getattr(base, rate) / 2}, {rate: getattr(base, rate) * 2}]
    if base.kind == "adapter":
        lower_rank = {"adapter": "lora", "adapter_rank": max(1, base.adapter_rank // 2)}
        changes += [higher_rank, lower_rank, {"adapter": "ia3"}, {"kind": "kv"}]
    else:
        # Vectors without an adapter learn more slowly.
        longer = {"epochs": 2 * base.epochs, "min_steps": 2 * base.min_steps}
        changes += [{"adapter": "none", **longer} if base.adapter_method else {"adapter": "lora"}]
        changes += [higher_rank, {"length": 2 * length}, {"length": max(1, length // 2)}]
        changes += [{"kind": "adapter"} if base.adapter_method else {"kind": "adapter", "adapter": "lora"}]
    if base.kind == "kv":
        changes += [{"kind": "embedding", "layers": None, "learning_rate": 2 * base.learning_rate}]
    if base.kind == "embedding":
        changes += [{"kind": "kv", "learning_rate": base.learning_rate / 2}]
    return list(dict.fromkeys(one for change in changes if (one := _changed(base, change)) is not None))


def _changed(base: TrainSettings, change: dict[str, Any]) -> TrainSettings | None:
    try:
        return TrainSettings.model_validate({**base.model_dump(), **change})
    except ValidationError:
        return None


def search(
    domain: Domain,
    *,
    minutes: float = 30.0,
    limit: int | None = None,
    settings: TrainSettings | None = None,
    on_trial: Callable[[int, int, Trial], None] | None = None,
    on_step: OnStep | None = None,
    on_score: OnScore | None = None,
) -> SearchReport:
    """Train a domain with several settings. Keep the soft prompt with the best dev score if it beats its text twin.

    Then choose the form of the answers, as after a single training run.

    Each finished trial is written to build/search.json, so that an interrupted search resumes. All trials share the
    prefixes, which are computed once.

    Args:
        minutes: a trial starts only if it should end within this time, judged by the median of the trials so far.
        limit: maximum number of train questions, spread over the file.
        settings: to start from instead of those in domain.yaml.
        on_trial: called after each trial with its number, the number of candidates and the trial.

    Raises:
        TrainingError: if there is nothing to train on.
        UsageError: if there are several processes, whose clocks would disagree on which trial still fits, or if the
            domain's task does not answer questions.
    """
    _require_searchable(domain)
    began = time.monotonic()
    base = settings or domain.file.train
    grafting = domain.grafting(base)
    data = grafting.training_set(spread(domain.items("train"), limit), domain.items("dev"))
    source = grafting.source
    digest = _data_digest(domain, data) + (source.manifest.vectors_sha256 if source else "")
    by_fingerprint = {_sha256(digest + one.model_dump_json()): one for one in candidates(base)}
    all_trials = _read_trials(domain.build / FILE)
    trials: list[Trial] = []

    def run(fingerprint: str, above: float) -> Trial:
        """Run and record one trial; its soft prompt is kept if it scores higher than `above`."""
        twin_f1 = next((t.dev_f1_text_twin for t in recorded() if t.dev_f1_text_twin is not None), None)
        # Trials that cannot start from the source have to beat it too.
        above = max(above, _source_f1(recorded()))
        one = replace(grafting, settings=by_fingerprint[fingerprint])
        train = partial(one.train, data, twin_f1=twin_f1, above=above, on_step=on_step, on_score=on_score)
        trial = all_trials[fingerprint] = _run_trial(
            domain, Trial(fingerprint, one.settings.model_dump()), lambda: train().report
        )
        records = _TRIALS.dump_json({"trials": tuple(all_trials.values())}, indent=1)
        write_bytes(domain.build / FILE, with_checksum(records))
        return trial

    def recorded() -> list[Trial]:
        return [all_trials[fingerprint] for fingerprint in by_fingerprint if fingerprint in all_trials]

    for number, fingerprint in enumerate(by_fingerprint, 1):
        if fingerprint not in all_trials:
            durations = [trial.seconds for trial in recorded()]
            if durations and time.monotonic() - began + statistics.median(durations) > minutes * 60:
                continue
            run(fingerprint, max((t.dev_f1 for t in recorded() if t.dev_f1 is not None), default=-1.0))
        trials.append(all_trials[fingerprint])
        if on_trial is not None:
            on_trial(number, len(by_fingerprint), trials[-1])
    scored = [trial for trial in trials if trial.dev_f1 is not None]
    best = max(scored, key=lambda trial: trial.dev_f1 or 0.0, default=None)
    kept = best is not None and (best.dev_f1 or 0) > max(best.dev_f1_text_twin or 0, _source_f1(trials))
    if best is not None and kept and (domain.manifest is None or domain.manifest.vectors_sha256 != best.vectors_sha256):
        # Another soft prompt was trained since. The same settings give the best one again.
        best = run(best.fingerprint, -1.0)
    form = _chosen_form(domain, on_score) if kept else None
    domain.forget("chain")
    left_out = len(by_fingerprint) - len(trials)
    return SearchReport(domain.file.name, tuple(trials), best, kept, left_out, time.monotonic() - began, form)


def _chosen_form(domain: Domain, on_score: OnScore | None) -> str | None:
    """The form of the answers with the domain's soft prompt; chosen now if that was not done yet."""
    manifest = domain.manifest
    if domain.file.answer.form != "auto" or manifest is None:
        return None
    chosen = load_form(domain.build / FORM)
    if chosen is None or chosen.soft_prompt != manifest.vectors_sha256:
        chosen = domain.choose_form(domain.items("dev"), on_score)
    return chosen.form if chosen is not None else None


def _source_f1(trials: Sequence[Trial]) -> float:
    """Token F1 on dev of the source graft; -1 if no trial started from one."""
    return max((trial.dev_f1_start for trial in trials if trial.dev_f1_start is not None), default=-1.0)


def _require_searchable(domain: Domain) -> None:
    if is_distributed():
        raise UsageError(
            found="a search in several processes",
            expected="one process",
            next_step="search without a launcher, then train in several processes with the best settings",
        )
    if domain.file.text_task is not None:
        raise UsageError(
            found=f"a search for the task {domain.file.task}",
            expected="a domain that answers questions, whose trials are compared by token F1",
            next_step=f"train with the settings to try, one run each: softgraft train {domain.cli_name} --epochs 3",
        )


def _run_trial(domain: Domain, trial: Trial, train: Callable[[], TrainReport]) -> Trial:
    """The trial with its scores, or why it failed."""
    started = time.monotonic()
    try:
        report = train()
    except (DivergedError, BackboneError) as error:
        remove_checkpoint(domain.build / "checkpoint")
        return replace(trial, problem=error.found, seconds=time.monotonic() - started)
    manifest = domain.manifest if report.kept else None
    return replace(
        trial,
        dev_f1=report.dev_f1,
        dev_f1_text_twin=report.dev_f1_text_twin,
        dev_f1_start=report.dev_score_start,
        dev_loss=report.dev_loss,
        vectors_sha256=manifest.vectors_sha256 if manifest else None,
        seconds=time.monotonic() - started,
    )


def _read_trials(path: Path) -> dict[str, Trial]:
    """The finished trials of all searches of a domain, by fingerprint; none if they are damaged, so that all run again.

    A trial that was recorded wrongly would decide which settings are the best.
    """
    if not path.is_file():
        return {}
    try:
        trials = _TRIALS.validate_json(read_checked(path)).get("trials", ())
    except (OSError, ValueError) as error:
        _log.info("all trials run again, since %s is damaged: %s", path, str(error).splitlines()[0])
        return {}
    return {trial.fingerprint: trial for trial in trials}


def _data_digest(domain: Domain, data: TrainingSet) -> str:
    """Identifies the backbone, and every prompt and answer of the search."""
    backbone = domain.store.backbone
    context = (backbone.digest, str(backbone.dtype), domain.file.answer, domain.file.attention)
    prompts = [repr((prompt.prompt, item.target, item.references)) for prompt, item in (*data.train, *data.dev)]
    return _sha256("".join([repr(context), domain.template.current().content_hash, *prompts, str(len(data.train))]))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
