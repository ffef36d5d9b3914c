"""Training a domain whose task is no conversation: the same engine, and the task's own score on dev."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

from chains import SoftPromptChat
from evaluation.items import Item
from evaluation.task_items import TextTask
from evaluation.task_scores import SELECTION_SCORES, reply_score
from softgraft.assembly.answers import Graft
from softgraft.tasks.label_fit import LabelFit
from softgraft.tasks.work import TaskWork
from softgraft.training.task import Prompted, TrainingTask, TrainReport, Withheld

_TARGETS: dict[TextTask, str] = {
    "classification": "label's words",
    "summarisation": "summary",
    "translation": "translation",
}


class TaskTraining(TrainingTask):
    """Training on the examples of a task."""

    def __init__(self, work: TaskWork) -> None:
        self.work = work
        self.objective = f"cross entropy of the {_TARGETS[work.task]}"
        self.metric = SELECTION_SCORES[work.task]
        # Calibrations of the labels that the run has fitted.
        self._fits: dict[Graft, LabelFit] = {}

    def prompted(self, items: Sequence[Item], *, teach: bool) -> tuple[Prompted, Withheld]:
        prompts = self.work.prompts(self.work.domain.speaker("text-twin").prepare).prompts(
            [item.question for item in items], self.work.lookup(teach=True) if teach else None
        )
        targets = [item.model_copy(update={"answers": (self.work.answer_words(item),)}) for item in items]
        return list(zip(prompts, targets, strict=True)), {}

    def replies(self, chat: SoftPromptChat, examples: Prompted, report: Callable[[int, int], None]) -> list[str]:
        """For classification the words of each label, with the calibration that suits."""
        if self.work.task != "classification":
            return super().replies(chat, examples, report)
        words = self.work.verbalizer.words
        labels = {words[label]: label for label in words}
        dev = [item.model_copy(update={"answers": (labels[item.target],)}) for _, item in examples]
        fit = self.work.fit(chat, self.work.items("train"), dev, report)
        self._fits[cast(Graft, chat.graft)] = fit
        return [words[label] for label in fit.dev_labels]

    def score(self, reply: str, item: Item) -> float:
        return reply_score(self.work.task, reply, item.target)

    def finished(self, report: TrainReport) -> None:
        # A calibration belongs to the soft prompt that it was fitted with, at full strength.
        used = report.kept and self.work.domain.file.answer.strength == 1
        self.work.remember({graft: fit for graft, fit in self._fits.items() if graft != "soft" or used})
