"""Training a domain whose task is no conversation: the same engine, and the task's own score on dev."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

from chains import SoftPromptChat, Speaker
from evaluation.items import Item
from evaluation.task_items import TextTask
from evaluation.task_scores import DECIDES, reply_score
from prompts import TemplateFile
from soft_prompt.training.devices import joined
from softgraft.assembly.answers import Graft
from softgraft.settings.domain_file import TrainSettings
from softgraft.tasks.label_fit import LabelFit
from softgraft.tasks.work import TaskWork
from softgraft.training.grafting import Grafting, OnScore, OnStep, Questions, Told, TrainReport


@dataclass(frozen=True)
class Worded:
    """What a run needs of an answering: the template, and who fills its slot."""

    template: TemplateFile
    speaker: Speaker


@dataclass(frozen=True)
class TaskGrafting(Grafting):
    """One training run of a task. Make one with `TaskGrafting.of`.

    Attributes:
        work: the task.
        fits: calibrations of labels that the run has found, by what filled the slot.
    """

    answering: Worded  # type: ignore[assignment]
    work: TaskWork = field(kw_only=True)
    fits: dict[Graft, LabelFit] = field(default_factory=dict, kw_only=True)

    @classmethod
    def of(cls, work: TaskWork, settings: TrainSettings) -> TaskGrafting:
        """The run of a domain's task.

        Args:
            work: the task.
            settings: how to train.

        Raises:
            UsageError: the backbone is behind an API.
        """
        domain = work.domain
        work.require_vectors("trained")
        return cls(
            domain.file.name,
            Worded(domain.template, work.speaker("text-twin")),
            domain.store,
            settings,
            domain.file.attention,
            domain.build,
            objective=f"cross entropy of the {_AIM[work.task]}",
            metric=DECIDES[work.task],
            work=work,
        )

    def run(
        self,
        items: Sequence[Item],
        dev: Sequence[Item],
        *,
        on_step: OnStep | None = None,
        on_score: OnScore | None = None,
    ) -> TrainReport:
        """See `Grafting.run`; calibrations of labels are kept with what they belong to."""
        report = super().run(items, dev, on_step=on_step, on_score=on_score)
        if joined(self.store.backbone.device).main:
            # A soft prompt of before that stays in use is not the one these belong to.
            self.work.remember(
                {graft: fit for graft, fit in self.fits.items() if graft != "soft" or self._strong(report)}
            )
        return report

    def _strong(self, report: TrainReport) -> bool:
        """Whether the soft prompt is used from now on as it was measured."""
        return report.kept and self.work.domain.file.answer.strength == 1

    def questions(self, items: Sequence[Item], dev: Sequence[Item]) -> Questions:
        """Train and dev texts as prompts, each with the words to aim at."""
        return Questions(items, self._prompted(items, teach=True), self._prompted(dev, teach=False))

    def replies(self, chat: SoftPromptChat, told: Told, tell: Callable[[int, int], None]) -> list[str]:
        """What is said to each text; for classification the words of the label, with the calibration that suits."""
        if self.work.task != "classification":
            return [reply.strip() for reply in super().replies(chat, told, tell)]
        labels = {words: label for label, words in self.work.verbalizer.words.items()}
        dev = [item.model_copy(update={"answers": (labels[item.target],)}) for _, item in told]
        fit = self.work.fit(chat, self.work.items("train"), dev, tell)
        self.fits[cast(Graft, chat.graft)] = fit
        return [self.work.verbalizer.words[label] for label in fit.dev_found]

    def score(self, reply: str, item: Item) -> float:
        """How good one answer is, by what decides."""
        return reply_score(self.work.task, reply, item.target)

    def _prompted(self, items: Sequence[Item], *, teach: bool) -> Told:
        prompts = self.work.prompts(self.answering.speaker.fits).prompts(
            [item.question for item in items], self.work.teaching_lookup() if teach else None
        )
        aims = [item.model_copy(update={"answers": (self.work.answer_words(item),)}) for item in items]
        return list(zip(prompts, aims, strict=True))


_AIM: dict[TextTask, str] = {
    "classification": "label's words",
    "summarisation": "summary",
    "translation": "translation",
}
