"""A `kv` soft prompt whose learning rate is relative to the size of what it moves."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from evaluation.items import spread
from quality_data import Question
from quality_prototypes_rows import RowPrototype, Start
from quality_training import Trained
from quality_ways import KV
from soft_prompt import PrefixStore, SoftPrompt
from soft_prompt.prompt import VECTORS

MOVED = "moved"


class Relative(RowPrototype):
    """Adam moves every number as far, and values in the first layers are fifty times smaller than keys in the last.

    Here each layer's keys and each layer's values move in units of their root mean square at the start; otherwise as
    `KV` trains.
    """

    def train(self, questions: Sequence[Question], seconds: float) -> Trained | None:
        return super().train(spread(questions, KV.questions), seconds)

    def rate(self, name: str) -> float:
        return 0.0

    def extra(self, store: PrefixStore, questions: Sequence[Question]) -> Start:
        return {MOVED: (torch.zeros_like(self.begun.vectors), KV.rate)}

    def now(self, step: int | None) -> SoftPrompt:
        start = self.begun.vectors
        unit = start.pow(2).mean((-1, -2, -3), keepdim=True).sqrt()
        return self.begun.with_tensors({VECTORS: start + unit * self.tensors[MOVED]})

    def kept(self) -> dict[str, Tensor]:
        return {VECTORS: self.now(None).vectors.contiguous()}
