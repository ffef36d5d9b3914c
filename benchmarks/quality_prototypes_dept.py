"""A short soft prompt, and low-rank shifts of the embeddings of the tokens after it (DePT, Shi and Lipani 2024,
arXiv:2309.05173).

The shift of a token depends on its place behind the slot, not on what it is. Tokens of the answer are not shifted, as
DePT leaves those of its decoder as they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from quality_data import Question
from quality_prototypes_rows import PLAIN, RowPrototype, Start, asked
from quality_systems import Where, _text_loss, general_prompt
from soft_prompt import PrefixStore, Row, SoftPrompt, from_text_twin
from soft_prompt.prompt import VECTORS

PLACES, SHIFTS, DIRECTIONS = 64, "shifts", "directions"
# The name of the run of shifted tokens: no slot of a template.
BEHIND = "behind the slot"
EMBEDDING_RATE = 2e-2


class ShiftedEmbeddings(RowPrototype):
    """`shifts[place] @ directions` added to each embedding behind the slot, `[64, rank] @ [rank, hidden]`.

    Args:
        where: what it is trained for.
        kind: of the soft prompt.
        length: of the soft prompt.
        rank: of the shifts. With `embedding`, 16 and 14 about as many numbers are trained as with a length of 32.
    """

    def __init__(self, where: Where, *, kind: str, length: int, rank: int) -> None:
        super().__init__(where)
        self.kind, self.length, self.rank = kind, length, rank

    def start(self, store: PrefixStore, question: Question) -> SoftPrompt:
        if self.kind == "kv":
            return self.vectors_of_twin(store, question, self.length)
        return from_text_twin(self.where.backbone, self.where.slot, self.where.twin, self.length)

    def rate(self, name: str) -> float:
        return EMBEDDING_RATE if name == VECTORS and self.kind == "embedding" else super().rate(name)

    def extra(self, store: PrefixStore, questions: Sequence[Question]) -> Start:
        chance = torch.Generator().manual_seed(self.where.seed)
        shifts = torch.randn(PLACES, self.rank, generator=chance) / math.sqrt(self.rank)
        directions = torch.zeros(self.rank, self.where.backbone.hidden_size)
        return {SHIFTS: (shifts, PLAIN.adapter_rate), DIRECTIONS: (directions, PLAIN.adapter_rate)}

    def dress(self, row: Row, text: str, now: SoftPrompt) -> Row:
        ids = [i for part in row.suffix if isinstance(part, tuple) for i in part]
        shifted = self.where.backbone.embed(ids).float()
        places = min(len(ids), PLACES)
        shift = self.tensors[SHIFTS][:places] @ self.tensors[DIRECTIONS]
        shifted = shifted + torch.nn.functional.pad(shift, (0, 0, 0, len(ids) - places))
        slot = self.unshifted(row, text, now).suffix[0]
        return replace(row, suffix=(slot, SoftPrompt(BEHIND, shifted, text)))

    def unshifted(self, row: Row, text: str, now: SoftPrompt) -> Row:
        """The prompt with the soft prompt and without shifts."""
        return row.with_soft_prompt(now)

    def text_loss(self, texts: Sequence[str]) -> float:
        # The text is what is predicted, as an answer is, so it is not shifted.
        slot, now = self.where.slot, self.now(None)
        prompts = [general_prompt(slot, text) for text in texts]
        return _text_loss(self.where, [self.unshifted(self.encode(p), asked(p), now) for p in prompts])
