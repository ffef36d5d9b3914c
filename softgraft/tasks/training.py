"""Training a domain whose task is no conversation: the same engine, and the task's own score on dev."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

from chains import LocalSpeaker, SoftPromptChat
from evaluation.items import Item
from evaluation.task_items import TextTask
from evaluation.task_scores import SELECTION_SCORES, reply_score
from softgraft.assembly.answers import Graft
from softgraft.tasks.label_fit import LabelFit
from softgraft.tasks.work import TaskWork
from softgraft.training.task import Prompted, TrainReport


@dataclass(frozen=True)
class TaskTraining:
    """Training on the examples of a task; see `softgraft.training.grafting.TrainingTask`.

    Attributes:
        work: the task.
        fits: calibrations of the labels that the run has fitted, by the fill of the slot.
    """

    work: TaskWork
    fits: dict[Graft, LabelFit] = field(default_factory=dict)

    @property
    def objective(self) -> str:
        """See `TrainingTask`."""
        return f"cross entropy of the {_TARGETS[self.work.task]}"

    @property
    def metric(self) -> str:
        """See `TrainingTask`."""
        return SELECTION_SCORES[self.work.task]

    def prompted(self, items: Sequence[Item], *, teach: bool) -> Prompted:
        """See `TrainingTask`."""
        prompts = self.work.prompts(self.work.speaker("text-twin").prepare).prompts(
            [item.question for item in items], self.work.teaching_lookup() if teach else None
        )
        targets = [item.model_copy(update={"answers": (self.work.answer_words(item),)}) for item in items]
        return list(zip(prompts, targets, strict=True))

    def replies(self, chat: SoftPromptChat, examples: Prompted, report: Callable[[int, int], None]) -> list[str]:
        """See `TrainingTask`; for classification the words of each label, with the calibration that suits."""
        if self.work.task != "classification":
            prompts = [prompt for prompt, _ in examples]
            replies = LocalSpeaker(chat).reply_many(prompts, on_reply=lambda done: report(done, len(examples)))
            return [reply.strip() for reply in replies]
        labels = {words: label for label, words in self.work.verbalizer.words.items()}
        dev = [item.model_copy(update={"answers": (labels[item.target],)}) for _, item in examples]
        fit = self.work.fit(chat, self.work.items("train"), dev, report)
        self.fits[cast(Graft, chat.graft)] = fit
        return [self.work.verbalizer.words[label] for label in fit.dev_labels]

    def score(self, reply: str, item: Item) -> float:
        """See `TrainingTask`."""
        return reply_score(self.work.task, reply, item.target)

    def finished(self, report: TrainReport) -> None:
        """Keep the calibrations, so that they are not fitted again."""
        # A calibration belongs to the soft prompt that it was fitted with, at full strength.
        used = report.kept and self.work.domain.file.answer.strength == 1
        self.work.remember({graft: fit for graft, fit in self.fits.items() if graft != "soft" or used})


_TARGETS: dict[TextTask, str] = {
    "classification": "label's words",
    "summarisation": "summary",
    "translation": "translation",
}
