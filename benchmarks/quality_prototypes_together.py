"""What helped a `kv` soft prompt by itself, together: early keys, shifted embeddings, reparameterisation."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from quality_data import Question
from quality_prototypes_dept import ShiftedEmbeddings
from quality_prototypes_places import EarlyKeys
from quality_prototypes_reparameterised import Reparameterised
from quality_prototypes_rows import PLAIN, Start
from quality_systems import Where
from soft_prompt import PrefixStore, Row, SoftPrompt
from soft_prompt.prompt import VECTORS
from soft_prompt.reparameterise import NETWORK


class Together(ShiftedEmbeddings):
    """Each part as it is alone; only the vectors of the slot are reparameterised."""

    def __init__(self, where: Where) -> None:
        super().__init__(where, kind="kv", length=PLAIN.length, rank=14)
        self.early, self.network = EarlyKeys(where), Reparameterised(where)

    def extra(self, store: PrefixStore, questions: Sequence[Question]) -> Start:
        self.network.begun = self.begun
        parts = (super().extra(store, questions), *(p.extra(store, questions) for p in (self.early, self.network)))
        return {name: start for part in parts for name, start in part.items()}

    def now(self, step: int | None) -> SoftPrompt:
        self.early.tensors = self.network.tensors = self.tensors
        return self.network.now(step)

    def unshifted(self, row: Row, text: str, now: SoftPrompt) -> Row:
        return self.early.dress(row, text, now)

    def kept(self) -> dict[str, Tensor]:
        others = {name: t.contiguous() for name, t in self.tensors.items() if name not in NETWORK}
        return {**others, VECTORS: self.now(None).vectors.contiguous()}
