"""What a training run reads and returns: examples as prompts, and scores question by question."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.items import Item
from soft_prompt import SoftPrompt
from softgraft.training.task import Prompted, TrainReport, Withheld


@dataclass(frozen=True)
class TrainingSet:
    """What a run trains on and measures with; questions whose evidence is too weak are in `items` alone.

    `train_withheld` and `dev_withheld` count them by reason. `groups` are the numbers of the domains of `train`, if
    there are several; `taught` counts the questions that the teacher answered.
    """

    items: Sequence[Item]
    train: Prompted
    dev: Prompted
    train_withheld: Withheld
    dev_withheld: Withheld
    groups: Sequence[int] = ()
    taught: int = 0


@dataclass(frozen=True, slots=True)
class DevScoresByQuestion:
    """The scores of the replies to all dev questions, in their order: the one that decides, token F1, and accuracy."""

    deciding: list[float]
    token_f1: list[float]
    accuracy: list[float]

    @property
    def score(self) -> float:
        """Mean of the score that decides."""
        return math.fsum(self.deciding) / len(self.deciding)

    @property
    def f1(self) -> float:
        """Mean token F1."""
        return math.fsum(self.token_f1) / len(self.token_f1)


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished run: its soft prompt, kept or not, and the scores of each dev question.

    `twin` is None if the run did not make the replies of the text twin.
    """

    report: TrainReport
    soft_prompt: SoftPrompt
    soft: DevScoresByQuestion
    twin: DevScoresByQuestion | None
