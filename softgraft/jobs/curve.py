"""The label curve of a domain: scores after training on more and more of its questions."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from evaluation import Estimate, System, evaluate
from evaluation.bootstrap import mean_interval
from evaluation.items import Item, items_hash
from evaluation.rows import split_file
from retrieval.regular_files import open_regular
from soft_prompt.files import write_bytes
from softgraft.assembly.evaluation import held_out
from softgraft.domain import Domain
from softgraft.errors import UsageError
from softgraft.jobs.transfer import baselines, source_system, train_further
from softgraft.settings.domain_file import TrainSettings
from softgraft.sources.shelf import Source
from softgraft.sources.start import TEXT_TWIN
from softgraft.training.task import OnStep

# In build/.
CURVE = "label_curve.json"
QUOTE = "quote"


class CurvePoint(BaseModel):
    """The scores of a start after training on some labels; means with 95% bootstrap intervals, 0 to 1.

    Attributes:
        start: a source, `text-twin`, or `quote`, which learns nothing.
        accuracy: None if no question has short answers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    start: str
    labels: int
    questions: int
    accuracy: Estimate | None
    token_f1: Estimate


class LabelCurve(BaseModel):
    """The points that were measured, and what they belong to.

    Attributes:
        conditions: digest of the backbone, the template, the documents, the train and dev questions, and the settings
            of retrieval and answers; empty in a file of an earlier version, which is measured again.
        starts: the soft prompt of each source.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    split: Literal["dev", "test"]
    items_sha256: str
    conditions: str = ""
    train: TrainSettings
    starts: dict[str, str]
    points: tuple[CurvePoint, ...] = ()


def measure_curve(
    domain: Domain,
    labels: Sequence[int],
    *,
    split: Literal["dev", "test"] = "test",
    limit: int | None = None,
    on_point: Callable[[CurvePoint], None] | None = None,
    on_step: OnStep | None = None,
) -> LabelCurve:
    """Train on each number of questions, from the domain's start and from the text twin, and ask held-out questions.

    Points are written to build/label_curve.json one by one. A repeated call measures what is missing, and everything if
    the domain was changed since. A soft prompt that does not beat its start on dev is not kept, so the start answers,
    as after `softgraft train`.

    Args:
        labels: numbers of train questions; 0 is the start itself.
        split, limit: which questions, and at most how many.

    Raises:
        UsageError: if the domain has no such questions, or fewer to train on.
    """
    if domain.file.text_task is not None:
        raise UsageError(
            found=f"the task of {domain.cli_name} is {domain.file.task}",
            expected="a domain that answers questions",
            next_step=f"softgraft eval {domain.cli_name}",
        )
    items = [item for item in domain.items(split) if item.answerable]
    asked = held_out(items, limit, split_file(domain.folder, split))
    train, dev = domain.items("train"), domain.items("dev")
    known = len(train)
    if max(labels) > known:
        raise UsageError(
            found=f"{max(labels)} labels, and {known} train questions in {domain.cli_name}",
            expected=f"at most {known}",
            next_step=f"softgraft curve {domain.cli_name} --labels 0,{known // 4},{known}",
        )
    source = domain.grafting().source
    starts: dict[str, Source | None] = {TEXT_TWIN: None} | ({} if source is None else {source.name: source})
    curve = LabelCurve(
        split=split,
        items_sha256=items_hash(asked),
        conditions=_conditions(domain, [*train, *dev]),
        train=domain.file.train,
        starts={name: one.manifest.vectors_sha256 for name, one in starts.items() if one is not None},
    )
    path = domain.build / CURVE
    earlier = read_curve(path)
    if earlier is not None and earlier.model_copy(update={"points": ()}) == curve:
        curve = earlier

    def measure(start: str, count: int, system: System) -> None:
        nonlocal curve
        _, [answers] = evaluate(asked, [system], None, {})
        accuracy = [one.accuracy for one in answers.answers if one.accuracy is not None]
        f1 = mean_interval([one.f1 or 0.0 for one in answers.answers])
        assert f1 is not None
        point = CurvePoint(
            start=start, labels=count, questions=len(asked), accuracy=mean_interval(accuracy), token_f1=f1
        )
        curve = curve.model_copy(update={"points": (*curve.points, point)})
        write_bytes(path, curve.model_dump_json(indent=1).encode() + b"\n")
        if on_point is not None:
            on_point(point)

    measured = {(point.start, point.labels) for point in curve.points}
    if (QUOTE, 0) not in measured:
        measure(QUOTE, 0, baselines(domain)[0])
    for name, start in starts.items():
        for count in labels:
            if (name, count) not in measured:
                folder = domain.build / "curve" / f"{name}-{count}"
                trained = train_further(domain, start, count, folder, on_step) if count else start
                measure(name, count, source_system(domain, name, trained))
                shutil.rmtree(folder, ignore_errors=True)
    return curve


def _conditions(domain: Domain, learned: Sequence[Item]) -> str:
    """A digest of everything beside training settings, starts and asked questions that the points depend on."""
    backbone, file = domain.store.backbone, domain.file
    parts = (
        backbone.digest, str(backbone.dtype), domain.template.current().content_hash, domain.index.content_digest(),
        file.attention, file.retrieval, file.answer, file.refusal, items_hash(learned),
    )  # fmt: skip
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def read_curve(path: Path) -> LabelCurve | None:
    """The curve that was written; None if there is none, or if it cannot be read."""
    try:
        with open_regular(path) as file:
            return LabelCurve.model_validate_json(file.read())
    except (OSError, ValidationError):
        return None
