"""Vectors that the question's own encoder vector modulates (IDPG, Wu et al. 2022, arXiv:2204.04497).

The encoder has read the question for retrieval already. A small network makes a few weights of its vector, and with
these weights a few trained changes are added to the `kv` soft prompt. The changes start at zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from quality_data import Question
from quality_prototypes_rows import PLAIN, RowPrototype, Start, asked
from quality_systems import Where
from retrieval import load_encoder
from soft_prompt import PrefixStore, Row, SoftPrompt

INSTANCE_DOWN, INSTANCE_UP = "instance.down", "instance.up"


class InstanceAware(RowPrototype):
    """`vectors + up @ tanh(down @ e)`, where e `[dimension]` is the question's vector, of length 1.

    Args:
        where: what it is trained for.
        rank: how many changes are learned, each as large as the vectors.
    """

    def __init__(self, where: Where, rank: int = 4) -> None:
        super().__init__(where)
        self.rank = rank
        self.encoder = load_encoder("embedded")
        self.read: dict[str, Tensor] = {}

    def extra(self, store: PrefixStore, questions: Sequence[Question]) -> Start:
        texts = [asked(question.prompt) for question in questions]
        self.read.update(zip(texts, torch.from_numpy(self.encoder.encode(texts)), strict=True))
        chance = torch.Generator().manual_seed(self.where.seed)
        return {
            INSTANCE_DOWN: (torch.randn(self.rank, self.encoder.dimension, generator=chance), PLAIN.adapter_rate),
            INSTANCE_UP: (torch.zeros(self.rank, *self.begun.vectors.shape), PLAIN.rate),
        }

    def dress(self, row: Row, text: str, now: SoftPrompt) -> Row:
        if text not in self.read:
            self.read[text] = torch.from_numpy(self.encoder.encode([text]))[0]
        weights = torch.tanh(self.tensors[INSTANCE_DOWN] @ self.read[text])
        change = torch.tensordot(weights, self.tensors[INSTANCE_UP], dims=1)
        return row.with_soft_prompt(replace(now, vectors=now.vectors + change))
