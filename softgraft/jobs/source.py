"""A source graft: one soft prompt, trained on several domains, that other domains start from."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from evaluation import System, evaluate
from evaluation.items import Item, items_hash, spread
from evaluation.rows import split_file
from soft_prompt import TrainedOn, read_manifest
from soft_prompt.artifact.stored_tensors import Stored
from soft_prompt.training.distributed import init_distributed, is_main_process
from softgraft.assembly.answers import make_speaker
from softgraft.assembly.evaluation import held_out
from softgraft.assembly.passage_cache import open_store
from softgraft.domain import Domain
from softgraft.errors import UsageError
from softgraft.jobs.finished_source import FinishedTraining, forget_finished, keep_finished, read_finished
from softgraft.settings.domain_file import TrainSettings
from softgraft.settings.question_files import SplitName
from softgraft.sources.card import SourceCard, SourceDomain, UnseenDomain, write_card
from softgraft.sources.mixing import TEMPERATURE, mixed
from softgraft.sources.shelf import GRAFTS, SOFT_PROMPT, Source, read_source
from softgraft.training.grafting import Grafting
from softgraft.training.methods import OF_SEVERAL_DOMAINS, reptile_groups, require_method
from softgraft.training.run_data import DevScoresByQuestion, TrainingSet
from softgraft.training.task import OnScore, OnStep, Reason, TrainReport

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
# Names that `start:` gives another meaning.
_RESERVED = ("auto", "text-twin", "starter")


@dataclass(frozen=True, slots=True)
class SourceReport:
    """A finished source.

    Attributes:
        card: None if nothing was kept, because it does not beat the text twin on the dev questions of all domains.
        unknown_licences: the domains whose domain.yaml has no licence.
    """

    folder: str
    training: TrainReport
    card: SourceCard | None
    unknown_licences: tuple[str, ...]


def make_source(
    name: str,
    domains: Sequence[Domain],
    *,
    folder: Path | None = None,
    limit: int | None = None,
    dev_limit: int | None = None,
    temperature: float = TEMPERATURE,
    settings: TrainSettings | None = None,
    unseen: Sequence[Domain] = (),
    made_by: str = "",
    stored: Stored = "float32",
    on_step: OnStep | None = None,
    on_score: OnScore | None = None,
) -> SourceReport:
    """Train one soft prompt on the questions of several domains, each with evidence from its own documents.

    Batches mix the domains. An interrupted run resumes with a bit-identical result. If it was interrupted while the
    unseen domains were measured, only the measuring is repeated.

    Args:
        folder: instead of grafts/NAME.
        limit, dev_limit: maximum number of train and dev questions of each domain, spread over its files.
        temperature: 1 samples domains in proportion to their size; higher values make their shares more equal.
        settings: used instead of those in domain.yaml of the first domain.
        unseen: domains that are not trained on; the card says what the source scores on their dev questions.
        made_by: the command, for the card.
        stored: how the soft prompt is written; `int8` is rounded, which the scores on dev leave out of account.

    Raises:
        UsageError: if the domains do not fit together, or one has no questions.
        TrainingError: if the loss diverged.
    """
    _require_name(name)
    require_together(domains, unseen)
    target, first = folder or GRAFTS / name, domains[0]
    settings = settings or first.file.train
    require_method(settings.method, OF_SEVERAL_DOMAINS, "a source")
    # Before hours of training.
    for domain in unseen:
        _unseen_items(domain, "dev", None)
        _ = domain.index
    store = open_store(first.file, target)
    try:
        chat = first.chat("text-twin").model_copy(update={"store": store})
        grafting = replace(first.grafting(settings, start=False), name=name, folder=target, chat=chat, stored=stored)
        sets = [_questions(domain, limit, dev_limit) for domain in domains]
        data = _together(sets, temperature)
        data = replace(data, groups=reptile_groups(settings, data.groups, [item for _, item in data.train]))
        trained_on = tuple(
            TrainedOn(
                domain=domain.file.name,
                licence=domain.file.licence,
                questions=len(own.train),
                data_hash=items_hash([item for _, item in own.train]),
            )
            for domain, own in zip(domains, sets, strict=True)
        )
        run = _run(grafting, stored, data)
        finished = read_finished(target, run)
        # Another process might delete it before this one has read it.
        init_distributed(store.backbone.device).barrier()
        if finished is not None:
            report, card = replace(finished.report, resumed=True), finished.card
        else:
            trained = replace(grafting, trained_on=trained_on).train(data, on_step=on_step, on_score=on_score)
            report, card = trained.report, None
            if report.kept:
                manifest = read_manifest(target / SOFT_PROMPT)
                assert manifest is not None
                assert trained.twin is not None
                card = SourceCard(
                    name=name,
                    vectors_sha256=manifest.vectors_sha256,
                    made_by=made_by,
                    seed=settings.seed,
                    seconds=round(report.seconds, 1),
                    domains=_scored(trained_on, sets, trained.soft, trained.twin),
                )
        if card is not None and is_main_process():
            keep_finished(FinishedTraining(run=run, card=card, report=report), target)
            write_card(card, target)
            for domain in unseen:
                scores = measure_unseen(domain, read_source(target))
                card = card.model_copy(update={"unseen": (*card.unseen, scores)})
                write_card(card, target)
            forget_finished(target)
    finally:
        store.close()
        if is_main_process():
            shutil.rmtree(target / "passages", ignore_errors=True)
    unknown = tuple(one.domain for one in trained_on if not one.licence)
    return SourceReport(str(target), report, card, unknown)


def measure_unseen(domain: Domain, source: Source, split: SplitName = "dev", limit: int | None = None) -> UnseenDomain:
    """What a source scores on the questions of a domain that it was not trained on, beside text twin and quote.

    Raises:
        UsageError: if the domain has no such questions.
    """
    items = _unseen_items(domain, split, limit)
    speaker = make_speaker(
        "source", domain.file, domain.build, domain.template, lambda: domain.store, domain.cli_name, source
    )
    systems = [
        System("text-twin", domain.answering("text-twin", form="generate"), "retrieved"),
        System("source", domain.answering("source", form="generate", speaker=speaker), "retrieved"),
        System("quote", domain.answering("text-twin", form="quote"), "retrieved"),
    ]
    _, answers = evaluate(items, systems, None, {})
    scores = {one.system: one.answers for one in answers}

    def mean(name: str, score: Literal["f1", "accuracy"]) -> float | None:
        known = [
            value
            for one in scores[name]
            if (value := getattr(one, score)) is not None and (score == "f1" or one.item.answers)
        ]
        return round(statistics.mean(known), 4) if known else None

    return UnseenDomain(
        name=domain.file.name,
        split="test" if split == "test" else "dev",
        questions=len(scores["source"]),
        token_f1=mean("source", "f1") or 0.0,
        token_f1_text_twin=mean("text-twin", "f1") or 0.0,
        accuracy=mean("source", "accuracy"),
        accuracy_text_twin=mean("text-twin", "accuracy"),
        accuracy_quote=mean("quote", "accuracy"),
    )


def _run(grafting: Grafting, stored: Stored, data: TrainingSet) -> str:
    """Identifies everything that a training depends on."""
    backbone, digest = grafting.chat.store.backbone, hashlib.sha256()
    template = grafting.template.current().content_hash
    settings = [grafting.name, grafting.settings.model_dump(mode="json"), grafting.attention, template, stored]
    digest.update(json.dumps([*settings, backbone.digest, str(backbone.dtype), list(data.groups)]).encode())
    for prompt, item in (*data.train, *data.dev):
        digest.update(repr((prompt.prompt, item.target, item.answers)).encode())
    return digest.hexdigest()


def _unseen_items(domain: Domain, split: SplitName, limit: int | None) -> list[Item]:
    answerable = [item for item in domain.items(split) if item.answerable]
    return held_out(answerable, limit, split_file(domain.folder, split))


def _require_name(name: str) -> None:
    if not _NAME.fullmatch(name) or name in _RESERVED:
        raise UsageError(
            found=f"the name {name!r}",
            expected=f"letters, digits, `-` and `_`, and none of {', '.join(_RESERVED)}",
            next_step="choose another: softgraft source NAME --from DOMAIN,DOMAIN",
        )


def require_together(domains: Sequence[Domain], unseen: Sequence[Domain]) -> None:
    """Refuse domains that one soft prompt cannot serve."""
    names = [domain.file.name for domain in (*domains, *unseen)]
    if not domains or (twice := sorted({name for name in names if names.count(name) > 1})):
        raise UsageError(
            found=f"the domain {', '.join(twice)} twice" if domains else "no domain",
            expected="at least one domain to train on, each once, and others as unseen ones",
            next_step="softgraft source NAME --from bank,clinic --unseen college",
        )
    first = domains[0]
    for domain in (*domains, *unseen):
        if domain.file.text_task is not None:
            raise UsageError(
                found=f"{domain.cli_name} has the task {domain.file.task}",
                expected="domains that answer questions (`task: chat` or `extractive-qa`)",
                next_step=f"leave out {domain.cli_name}",
            )
        for what, own, theirs in (
            ("backbone", domain.file.backbone, first.file.backbone),
            ("template", domain.template.current().content_hash, first.template.current().content_hash),
            ("attention", domain.file.attention, first.file.attention),
        ):
            if own != theirs:
                shown = f" ({own}, not {theirs})" if what != "template" else f" ({domain.file.template})"
                raise UsageError(
                    found=f"{domain.cli_name} has another {what} than {first.cli_name}{shown}",
                    expected="domains with one backbone, one template and one kind of attention",
                    next_step=f"leave out {domain.cli_name}, or make a source for each",
                )


def _questions(domain: Domain, limit: int | None, dev_limit: int | None) -> TrainingSet:
    """The train and dev questions of a domain, with evidence from its own documents."""
    train, dev = spread(domain.items("train"), limit), spread(domain.items("dev"), dev_limit)
    found = domain.grafting(start=False).training_set(train, dev)
    if not found.train or not found.dev:
        raise UsageError(
            found=f"{len(found.train)} train and {len(found.dev)} dev questions of {domain.cli_name} reach the model",
            expected="at least one of each",
            next_step=f"write questions to {domain.folder / 'train.jsonl'}, or leave out {domain.cli_name}",
        )
    return found


def _together(sets: Sequence[TrainingSet], temperature: float) -> TrainingSet:
    """The questions of all domains: train mixed by temperature, dev one after the other."""
    withheld: list[Counter[Reason]] = [Counter(), Counter()]
    for one in sets:
        withheld[0].update(one.train_withheld)
        withheld[1].update(one.dev_withheld)
    train = mixed([[(number, pair) for pair in one.train] for number, one in enumerate(sets)], temperature)
    return TrainingSet(
        items=[item for one in sets for item in one.items],
        train=[pair for _, pair in train],
        groups=[number for number, _ in train],
        dev=[pair for one in sets for pair in one.dev],
        train_withheld=dict(withheld[0]),
        dev_withheld=dict(withheld[1]),
    )


def _scored(
    trained_on: Sequence[TrainedOn], sets: Sequence[TrainingSet], soft: DevScoresByQuestion, twin: DevScoresByQuestion
) -> tuple[SourceDomain, ...]:
    """Each domain with its part of the scores on dev."""
    domains, first = [], 0
    for one, own in zip(trained_on, sets, strict=True):
        part = slice(first, first := first + len(own.dev))
        domains.append(
            SourceDomain(
                name=one.domain,
                licence=one.licence,
                questions=one.questions,
                dev_questions=len(own.dev),
                token_f1=round(statistics.mean(soft.token_f1[part]), 4),
                token_f1_text_twin=round(statistics.mean(twin.token_f1[part]), 4),
            )
        )
    return tuple(domains)
