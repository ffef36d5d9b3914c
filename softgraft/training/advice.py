"""What to try after a training run, the most promising first."""

from __future__ import annotations

from collections.abc import Iterator

from softgraft.settings.domain_file import TrainSettings
from softgraft.training.task import TrainReport

# The example domains have 240 train questions. With fewer than this, more questions help most.
_FEW_QUESTIONS = 100
# With fewer dev questions than this, the decision is mostly chance.
_FEW_DEV = 20
# A share of answerable questions above this is worth a remark.
_MANY = 0.2


def next_steps(report: TrainReport, settings: TrainSettings, cli_name: str, *, answers_questions: bool) -> list[str]:
    """Commands and edits, each with its reason; at least one.

    Args:
        settings: of the run.
        cli_name: name of the domain on the command line.
        answers_questions: whether the task is to answer questions, and not to work on texts.
    """
    steps = [*_problems(report, settings, cli_name)]
    if answers_questions:
        steps += _retrieval(report)
    if report.kept:
        return [f"compare the systems on test: softgraft eval {cli_name}", *steps]
    return steps or [
        f"try other settings: softgraft train {cli_name} --search" if answers_questions else "write more to train.jsonl"
    ]


def _problems(report: TrainReport, settings: TrainSettings, cli_name: str) -> Iterator[str]:
    """What the run itself shows."""
    if report.majority is not None and not report.majority.beaten:
        yield (
            f"it does not beat the constant answer {report.majority.answer!r}: write more questions with the other "
            "answers, or show more evidence (retrieval.passages, retrieval.evidence_tokens in domain.yaml)"
        )
    train = f"softgraft train {cli_name}"
    if report.best_epoch == report.epochs and not report.kept:
        yield f"train longer, since the last epoch was the best: {train} --min-steps {2 * report.steps}"
    elif 2 * report.best_epoch <= report.epochs and not report.kept:
        name = "adapter_learning_rate" if settings.kind == "adapter" else "learning_rate"
        lower = f"--{name.replace('_', '-')} {getattr(settings, name) / 2:g}"
        rose = f"dev loss rose after epoch {report.best_epoch} of {report.epochs}"
        yield f"learn more slowly, since {rose}: {train} {lower}"
    if report.examples < _FEW_QUESTIONS:
        yield f"write more to train.jsonl: {report.examples} reached the model; {_FEW_QUESTIONS} or more answer better"
    if report.dev_questions < _FEW_DEV:
        yield f"write more to dev.jsonl: with {report.dev_questions} the decision is mostly chance"


def _retrieval(report: TrainReport) -> Iterator[str]:
    """What the evidence score and the documents show."""
    found = report.train_withheld.get("score below the threshold, passage with the answer found", 0)
    missed = report.dev_withheld.get("score below the threshold, passage with the answer not found", 0)
    unknown = sum(
        counts.get("score below the threshold, no doc_id to tell whether the passage was found", 0)
        for counts in (report.train_withheld, report.dev_withheld)
    )
    answerable = report.examples + found + unknown
    if found > _MANY * answerable:
        yield (
            f"lower retrieval.evidence_threshold in domain.yaml and train again: {found} train questions were withheld "
            "although the passage with their answer was found"
        )
    if report.without_document > _MANY * answerable:
        yield (
            f"give doc_id and quote: {report.without_document} answerable train questions name no document, so "
            "training cannot add the passage with their answer"
        )
    if missed > _MANY * max(1, report.dev_questions):
        yield f"try retrieval.neighbours: 1 in domain.yaml: the answers of {missed} dev questions were not retrieved"
