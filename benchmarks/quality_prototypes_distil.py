"""Top-k distillation from the same backbone with the gold passage alone in its context (as in context distillation,
Snell et al. 2022, arXiv:2209.15189).

The student has what retrieval found; the teacher has the one passage that matters, and the text twin or a `kv` soft
prompt trained on gold passages in its slot. Of the teacher's distribution at each answer position the 20 likeliest
tokens are kept, computed once an example, within the training seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

import torch
from torch import Tensor

from quality_data import DataSet, Question
from quality_prototypes_rows import RowPrototype
from quality_systems import Graft, GraftSettings, Where, answer_ids
from quality_training import Trained
from soft_prompt import PrefixStore, Row, SlotFill, encode_prompt
from soft_prompt.forward import Example, answer_logits

TOP = 20


class Distilled(RowPrototype):
    """A `kv` soft prompt that learns from the answers and from a teacher's likeliest tokens.

    Args:
        where: what it is trained for.
        data: gives the gold passages.
        share: of the teacher in the loss.
        teacher_seconds: trains a `kv` soft prompt on gold passages for so long before, which are not counted as the
            student's; 0 leaves the text twin in the teacher's slot.
    """

    def __init__(self, where: Where, data: DataSet, *, share: float, teacher_seconds: float = 0) -> None:
        super().__init__(where)
        self.data, self.share, self.teacher_seconds = data, share, teacher_seconds
        self.taught: dict[int, tuple[Tensor, Tensor]] = {}
        self.lessons: list[Example] = []

    def train(self, questions: Sequence[Question], seconds: float) -> Trained | None:
        golds = self.data.questions("train", "gold", len(questions))
        assert [gold.item for gold in golds] == [question.item for question in questions]
        fill: SlotFill = self.where.twin
        if self.teacher_seconds:
            teacher = Graft(self.where, GraftSettings())
            teacher.train(golds, self.teacher_seconds)
            fill = teacher.soft_prompt
        self.lessons = [Example(self._lesson(gold, fill), answer_ids(self.where.backbone, gold)) for gold in golds]
        return super().train(questions, seconds)

    def _lesson(self, gold: Question, fill: SlotFill) -> Row:
        return encode_prompt(self.where.backbone, gold.prompt, {self.where.slot: fill})

    def loss(self, store: PrefixStore, examples: Sequence[Example], batch: Sequence[int]) -> tuple[Tensor, int]:
        for number in batch:
            if number not in self.taught:
                with torch.no_grad(), closing(PrefixStore(self.where.backbone)) as own:
                    self.taught[number] = _likeliest(answer_logits(own, [self.lessons[number]]))
        logits = answer_logits(store, examples)
        known = torch.tensor([token for example in examples for token in example.answer])
        own_loss = torch.nn.functional.cross_entropy(logits, known, reduction="sum")
        tokens, shares = (torch.cat(parts) for parts in zip(*(self.taught[number] for number in batch), strict=True))
        said = torch.log_softmax(logits, dim=-1).gather(1, tokens)
        divergence = (shares * (shares.log() - said)).sum()
        return (1 - self.share) * own_loss + self.share * divergence, len(known)


def _likeliest(logits: Tensor) -> tuple[Tensor, Tensor]:
    """The tokens that are likeliest at each position and their shares, which sum to 1, each `[positions, 20]`."""
    values, tokens = logits.topk(TOP, dim=-1)
    return tokens, torch.softmax(values, dim=-1)
