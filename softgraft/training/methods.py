"""What the training methods take from outside a domain: other domains' examples, other soft prompts, a teacher."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.items import Item
from prompts import Template
from soft_prompt import (
    BackboneError,
    PrefixStore,
    SoftPrompt,
    TrainConfig,
    TrainedOn,
    TrainingError,
    load_soft_prompt,
)
from soft_prompt.errors import ArtifactError
from soft_prompt.model.backbone import Backbone
from soft_prompt.training.answer_loss import answer_losses
from soft_prompt.training.config import Method
from soft_prompt.training.example import encode_example
from soft_prompt.training.methods.batches import REPLAY_SHARE
from soft_prompt.training.methods.data import MethodData, ModelInput
from soft_prompt.training.methods.replay import likelihood_weights
from soft_prompt.training.methods.reptile import MIN_GROUP_QUESTIONS, document_groups
from soft_prompt.training.teacher import TeacherTargets
from softgraft.errors import UsageError
from softgraft.settings.domain_file import DomainFile, Task, TrainSettings
from softgraft.settings.location import DOMAINS
from softgraft.sources.shelf import Source, read_source, source_folders
from softgraft.sources.start import is_own_starter, misfits, unlike
from softgraft.training.task import OnScore, Prompted, TrainingTask
from softgraft.training.teachers import Teacher

OF_ONE_DOMAIN: tuple[Method, ...] = ("plain", "replay", "weighted-replay", "mixture", "shared", "distillation")
OF_SEVERAL_DOMAINS: tuple[Method, ...] = ("plain", "shared", "reptile")
OF_TEXT_TASKS: tuple[Method, ...] = ("plain", "shared")
OF_CLASSIFICATION: tuple[Method, ...] = (*OF_TEXT_TASKS, "adversarial")
REPLAYS: tuple[Method, ...] = ("replay", "weighted-replay")


@dataclass(frozen=True)
class AdversarialTexts:
    """What `adversarial` reads besides a domain's own examples: unlabelled prompts, and other domains' examples."""

    unlabelled: Sequence[ModelInput] = ()
    labelled: Sequence[tuple[TrainedOn, Prompted]] = ()


@dataclass(frozen=True)
class MethodSources:
    """Where a run finds what its method needs; each is called only if it does.

    Attributes:
        replayed: examples of the source domains, about as many as given.
        mixed: the soft prompts of all sources that fit.
        teacher: the teacher that domain.yaml names; None for the start.
        adversarial: the texts of the other domains.
    """

    replayed: Callable[[int], Prompted] = lambda _: []
    mixed: Callable[[], Sequence[SoftPrompt]] = tuple
    teacher: Callable[[], Teacher | None] = lambda: None
    adversarial: Callable[[], AdversarialTexts] = AdversarialTexts


@dataclass(frozen=True)
class MethodRun:
    """The run whose method needs data: its backbone, its task, its build folder and where its data come from.

    `teacher` is called by `distillation` alone, `texts` by `adversarial`.
    """

    store: PrefixStore
    task: TrainingTask
    folder: Path
    sources: MethodSources
    teacher: Callable[[], Teacher]
    texts: Callable[[], AdversarialTexts] = AdversarialTexts


def require_method(method: Method, allowed: Sequence[Method], where: str) -> None:
    """Refuse a method that does not suit what is trained.

    Raises:
        UsageError: if it is not one of the allowed ones.
    """
    if method not in allowed:
        raise UsageError(
            found=f"`method: {method}` for {where}",
            expected=f"one of {', '.join(allowed)}",
            next_step="change `train.method` in domain.yaml, or give --method",
        )


def methods_of(task: Task) -> tuple[Method, ...]:
    """The methods that train a domain with this task."""
    if task in ("chat", "extractive-qa"):
        return OF_ONE_DOMAIN
    return OF_CLASSIFICATION if task == "classification" else OF_TEXT_TASKS


def named_folders(names: Sequence[str], next_step: str) -> list[Path]:
    """The folders of domains, given by name or path.

    Raises:
        UsageError: if one is not here.
    """
    folders = [Path(name) if (Path(name) / "domain.yaml").is_file() else DOMAINS / name for name in names]
    missing = [name for name, folder in zip(names, folders, strict=True) if not (folder / "domain.yaml").is_file()]
    if missing:
        raise UsageError(
            found=f"no folder of the domain {', '.join(missing)}",
            expected="the folders of the domains that are trained on, with their documents and questions",
            next_step=next_step,
        )
    return folders


def reptile_groups(settings: TrainSettings, domains: Sequence[int], items: Sequence[Item]) -> Sequence[int]:
    """The groups that `reptile` makes its steps on in turn: the domains of the questions, or groups of their documents.

    Raises:
        UsageError: if the documents make a single group.
    """
    if settings.reptile_groups != "documents":
        return domains
    minimum = settings.reptile_min_questions or MIN_GROUP_QUESTIONS
    documents = [min(item.documents, default="") for item in items]
    groups = document_groups(domains, documents, [item.id for item in items], minimum)
    if len(set(groups)) < 2:
        raise UsageError(
            found=f"one group of questions: {len(set(documents))} documents, {len(items)} questions",
            expected=f"at least two groups with {minimum} questions each; `doc_id` says which document a question asks",
            next_step="lower `train.reptile_min_questions` in domain.yaml, or set `reptile_groups: domains`",
        )
    return groups


def replayed_domains(settings: TrainSettings, source: Source | None) -> list[Path]:
    """The folders of the domains to replay: those that the settings name, else those that the start was trained on.

    Raises:
        UsageError: if a domain is not here, or there is none.
    """
    names = [name.strip() for name in (settings.replay_from or "").split(",") if name.strip()]
    if not names and source is not None:
        names = [one.name for one in source.card.domains]
    name_them = "name them: softgraft train DOMAIN --method replay --replay-from bank,clinic"
    if not names:
        raise UsageError(
            found="no domain to replay",
            expected="the folders of the domains that the start was trained on, with their documents and questions",
            next_step=name_them,
        )
    return named_folders(names, name_them)


def sources_like(
    file: DomainFile, template: Template, settings: TrainSettings, backbone: Backbone
) -> list[tuple[Source, SoftPrompt]]:
    """The sources that fit a domain and can be continued with these settings; damaged ones are passed over."""
    found: list[tuple[Source, SoftPrompt]] = []
    for folder in source_folders():
        try:
            source = read_source(folder)
            problems = misfits(source.manifest, file, template) or unlike(source.manifest, settings)
            if problems or is_own_starter(source, file):
                continue
            loaded = load_soft_prompt(source.soft_prompt, backbone)
        except (ArtifactError, BackboneError):
            continue
        if loaded is not None:
            found.append((source, loaded[0]))
    return found


def method_data(
    run: MethodRun, train: Prompted, groups: Sequence[int], start: SoftPrompt, config: TrainConfig
) -> MethodData:
    """What the run's method needs besides the examples.

    Raises:
        TrainingError: if something is missing.
    """
    method = config.method
    if method in REPLAYS:
        share = config.replay_share or REPLAY_SHARE
        steps = max(config.min_steps, config.epochs * math.ceil(len(train) / config.batch_size))
        replayed = run.sources.replayed(math.ceil(steps * config.batch_size * share / (1 - share)))
        pairs = [(prompt.model_input, item.target) for prompt, item in replayed]
        return MethodData(
            replayed=pairs, weights=_weights(run, replayed, config) if method == "weighted-replay" else ()
        )
    if method == "mixture":
        return MethodData(sources=run.sources.mixed())
    if method == "distillation":
        return MethodData(teacher=_taught(run, train))
    if method == "adversarial":
        return _adversarial_data(run.texts(), len(train))
    # Of no use to other methods: each group of a batch would get a copy of the same soft prompt.
    return MethodData(groups=groups if method in ("shared", "reptile") else ())


def _adversarial_data(texts: AdversarialTexts, own: int) -> MethodData:
    """What the domain classifier separates: this domain, number 0, from the labelled others.

    Without others, the own examples are number 1 and the unlabelled texts 0.
    """
    labelled = [(number, pair) for number, (_, prompted) in enumerate(texts.labelled, 1) for pair in prompted]
    return MethodData(
        labelled=[(prompt.model_input, item.target) for _, (prompt, item) in labelled],
        domains=[0 if texts.labelled else 1] * own + [number for number, _ in labelled],
        unlabelled=texts.unlabelled,
    )


def _weights(run: MethodRun, replayed: Prompted, config: TrainConfig) -> list[float]:
    """Weights by the likelihood under the domain's own soft prompt of an earlier run."""
    loaded = load_soft_prompt(run.folder / "soft_prompt", run.store.backbone)
    if loaded is None:
        raise TrainingError(
            found="no trained soft prompt of this domain to weight the source examples with",
            expected="one, since `weighted-replay` asks how likely it finds them",
            next_step="train once with `--method plain` or `--method replay`, then again",
        )
    examples = [
        encode_example(run.store.backbone, prompt.model_input, item.target, loaded[0], config.attention)
        for prompt, item in replayed
    ]
    losses = answer_losses(run.store, examples, config.batch_size)
    return likelihood_weights(losses, config.weight_temperature or 1.0)


def _taught(run: MethodRun, train: Prompted) -> list[TeacherTargets | None]:
    """What the teacher expects at each answer when it is shown the right passage alone."""
    shown = run.task.with_gold([item for _, item in train])
    return run.teacher().targets([(gold or prompt, item) for gold, (prompt, item) in zip(shown, train, strict=True)])


def answered(
    items: Sequence[Item], task: TrainingTask, teacher: Teacher, on_score: OnScore | None = None
) -> list[Item]:
    """The items, with the teacher's answers to those that have none; those that it refuses stay without one."""
    report = on_score or (lambda *_: None)
    missing = {n: item for n, item in enumerate(items) if item.answerable and not item.target}
    prompts = task.unanswered(list(missing.values()))
    asked = {n: prompt for n, prompt in zip(missing, prompts, strict=True) if prompt is not None}
    result = list(items)
    replies = teacher.answers(list(asked.values()), lambda done: report("teacher", done, len(asked))) if asked else []
    for n, reply in zip(asked, replies, strict=True):
        if reply and not task.refuses(reply):
            result[n] = items[n].model_copy(update={"response": reply})
    return result
