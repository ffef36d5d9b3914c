"""Which settings suit a domain: a short list of them, tried on dev within a time budget."""

from __future__ import annotations

import hashlib
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from evaluation.items import spread
from soft_prompt import BackboneError, DivergedError
from soft_prompt.files import write_bytes
from soft_prompt.training.checkpoint import remove_checkpoint
from soft_prompt.training.devices import several
from softgraft.domain import Domain
from softgraft.errors import UsageError
from softgraft.settings.domain_file import TrainSettings
from softgraft.training.grafting import OnScore, OnStep, Questions, TrainReport

FILE = "search.json"


@dataclass(frozen=True, slots=True)
class Trial:
    """One training of a search.

    Attributes:
        fingerprint: stands for the settings and for everything else that the scores depend on.
        settings: as under `train:` in domain.yaml.
        dev_f1, dev_f1_text_twin: token F1 on dev; None where the trial had a problem.
        dev_loss: nats an answer token.
        seconds: of the training and of answering dev.
        vectors_sha256: of the soft prompt where it was kept when the trial ended.
        problem: why there are no scores: it diverged, or the backbone cannot do it.
    """

    fingerprint: str
    settings: dict[str, Any]
    dev_f1: float | None = None
    dev_f1_text_twin: float | None = None
    dev_loss: float | None = None
    seconds: float = 0.0
    vectors_sha256: str | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class SearchReport:
    """How a search ended.

    `trials` are in the order of the list, those of earlier searches among them; `best` has the highest token F1 on dev,
    and `kept` says whether it beat its text twin and is used from now on. `left_out` trials did not fit into the time.
    """

    domain: str
    trials: tuple[Trial, ...]
    best: Trial | None
    kept: bool
    left_out: int
    seconds: float


OnTrial = Callable[[int, int, Trial], None]


def candidates(base: TrainSettings) -> list[TrainSettings]:
    """The settings to try: first those given, then one change at a time, the most likely to help first."""
    length, rank = base.length or 32, base.adapter_rank or 4
    more: dict[str, Any] = {"adapter": "lora", "adapter_rank": min(64, 2 * rank)}
    low_rank: dict[str, Any] = {"adapter": "lora", "adapter_rank": rank}
    # One of the kind `adapter` has no vectors to learn.
    rate = "adapter_learning_rate" if base.kind == "adapter" else "learning_rate"
    changes: list[dict[str, Any]] = [{}, {rate: getattr(base, rate) / 2}, {rate: getattr(base, rate) * 2}]
    if base.kind == "adapter":
        changes += [more, {"adapter": "lora", "adapter_rank": max(1, rank // 2)}, {"adapter": "ia3"}, {"kind": "kv"}]
    else:
        # Vectors alone learn more slowly than with an adapter.
        changes += [{"adapter": "none", "epochs": 2 * base.epochs} if base.adapter_form else low_rank, more]
        changes += [{"length": 2 * length}, {"length": max(1, length // 2)}]
        alone = {"kind": "adapter", "reparameterise": False, "random_length": False}
        changes += [alone if base.adapter_form else {**low_rank, **alone}]
    if base.kind == "kv":
        changes += [{"kind": "embedding", "layers": None, "learning_rate": 2 * base.learning_rate}]
    if base.kind == "embedding":
        changes += [{"kind": "kv", "learning_rate": base.learning_rate / 2}]
    found: list[TrainSettings] = []
    for change in changes:
        settings = TrainSettings.model_validate({**base.model_dump(), **change})
        if settings not in found:
            found.append(settings)
    return found


def search(
    domain: Domain,
    *,
    minutes: float = 30.0,
    limit: int | None = None,
    dev_limit: int | None = None,
    settings: TrainSettings | None = None,
    on_trial: OnTrial | None = None,
    on_step: OnStep | None = None,
    on_score: OnScore | None = None,
) -> SearchReport:
    """Train a domain with several settings, and keep the soft prompt that answers dev best, if it beats its text twin.

    Each trial is written to build/search.json as it ends, so a search that was stopped goes on where it was. All trials
    share the prefixes that were computed once.

    Args:
        domain: what to train.
        minutes: no trial starts that would, going by the median of those so far, end later than this.
        limit, dev_limit: use so many questions of train and of dev, spread over the file; None uses all.
        settings: to start from, in place of those in domain.yaml.
        on_trial: called after each trial with its number, the length of the list and the trial.
        on_step, on_score: progress within a trial.

    Raises:
        TrainingError: nothing to train on.
        UsageError: several processes, whose clocks would disagree on which trial still fits.
    """
    if several():
        raise UsageError(
            found="a search in several processes",
            expected="one process",
            next_step="search without a launcher, then train with the settings found in several processes",
        )
    if domain.file.text_task is not None:
        raise UsageError(
            found=f"a search for the task {domain.file.task}",
            expected="a domain that answers questions, whose trials are compared by token F1",
            next_step=f"train with the settings to try, one run each: softgraft train {domain.typed} --epochs 3",
        )
    began = time.monotonic()
    base = settings or domain.file.train
    grafting = domain.grafting(base)
    questions = grafting.questions(spread(domain.items("train"), limit), spread(domain.items("dev"), dev_limit))
    data, path = _data_digest(domain, questions), domain.build / FILE
    known = {trial.fingerprint: trial for trial in _read(path)}
    wanted = {_fingerprint(data, found): found for found in candidates(base)}
    trials: list[Trial] = []
    left_out = 0

    def ended() -> list[Trial]:
        return [known[fingerprint] for fingerprint in wanted if fingerprint in known]

    def run(fingerprint: str, above: float) -> Trial:
        """Train with the settings of that fingerprint, keep what is better than `above`, and write down how it went."""
        twin = next((t.dev_f1_text_twin for t in ended() if t.dev_f1_text_twin is not None), None)
        one = replace(grafting, settings=wanted[fingerprint])
        started = time.monotonic()
        trial = Trial(fingerprint, wanted[fingerprint].model_dump())
        try:
            report = one.train(questions, twin_f1=twin, above=above, on_step=on_step, on_score=on_score)
        except (DivergedError, BackboneError) as error:
            remove_checkpoint(domain.build / "checkpoint")
            trial = replace(trial, problem=error.found)
        else:
            trial = _scored(trial, report, domain)
        known[fingerprint] = replace(trial, seconds=time.monotonic() - started)
        write_bytes(path, json.dumps({"trials": [asdict(t) for t in known.values()]}, indent=1).encode())
        return known[fingerprint]

    for number, fingerprint in enumerate(wanted, 1):
        if fingerprint not in known:
            times = [trial.seconds for trial in ended()]
            if times and time.monotonic() - began + statistics.median(times) > minutes * 60:
                left_out += 1
                continue
            run(fingerprint, max((t.dev_f1 for t in ended() if t.dev_f1 is not None), default=-1.0))
        trials.append(known[fingerprint])
        if on_trial is not None:
            on_trial(number, len(wanted), known[fingerprint])
    best = _best(trials)
    worth = best is not None and (best.dev_f1 or 0) > (best.dev_f1_text_twin or 0)
    manifest = domain.manifest
    if best is not None and worth and (manifest is None or manifest.vectors_sha256 != best.vectors_sha256):
        # Something else was trained since it ended. The same settings give the same soft prompt again.
        best = run(best.fingerprint, -1.0)
    domain.forget("chain")
    return SearchReport(domain.file.name, tuple(trials), best, worth, left_out, time.monotonic() - began)


def _best(trials: Sequence[Trial]) -> Trial | None:
    scored = [trial for trial in trials if trial.dev_f1 is not None]
    return max(scored, key=lambda trial: trial.dev_f1 or 0.0, default=None)


def _scored(trial: Trial, report: TrainReport, domain: Domain) -> Trial:
    manifest = domain.manifest if report.kept else None
    return replace(
        trial,
        dev_f1=report.dev_f1,
        dev_f1_text_twin=report.dev_f1_text_twin,
        dev_loss=report.dev_loss,
        vectors_sha256=manifest.vectors_sha256 if manifest else None,
    )


def _data_digest(domain: Domain, questions: Questions) -> str:
    """Stands for the backbone, and for every prompt and answer as they are trained on and measured."""
    backbone = domain.store.backbone
    digest = hashlib.sha256(
        repr((backbone.digest, str(backbone.dtype), domain.file.answer, domain.file.attention)).encode()
    )
    template = domain.template.current()
    digest.update(template.content_hash.encode())
    for prompt, item in (*questions.told, *questions.dev_told):
        digest.update(repr((prompt, item.target, item.references)).encode())
    digest.update(str(len(questions.told)).encode())
    return digest.hexdigest()


def _fingerprint(data: str, settings: TrainSettings) -> str:
    return hashlib.sha256((data + settings.model_dump_json()).encode()).hexdigest()


def _read(path: Path) -> list[Trial]:
    try:
        return [Trial(**trial) for trial in json.loads(path.read_text(encoding="utf-8"))["trials"]]
    except (OSError, ValueError, KeyError, TypeError):
        # It is only a record: without it, every trial is made again.
        return []
