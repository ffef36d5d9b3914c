"""One tokenised training example."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from soft_prompt.graft.prompt import SoftPrompt
from soft_prompt.rows.row import Row


@dataclass(frozen=True, slots=True, eq=False)
class Below:
    """What the layers put out that stand below those that are trained.

    Attributes:
        layers: how many there are.
        states: `[new, hidden]` over the positions of an example that run through the model, in the backbone's dtype.
    """

    layers: int
    states: Tensor


@dataclass(frozen=True, slots=True)
class Example:
    """A prompt and the answer that training aims at.

    Attributes:
        row: the encoded prompt.
        answer: token ids of the answer, with the end token behind it.
        below: where the first layers need not run again.
    """

    row: Row
    answer: tuple[int, ...]
    below: Below | None = None

    @property
    def full(self) -> Row:
        """The prompt with the answer behind it; the last token is only ever predicted."""
        return self.row.followed_by(self.answer[:-1]) if len(self.answer) > 1 else self.row

    def with_soft_prompt(self, soft_prompt: SoftPrompt) -> Example:
        """The example with another soft prompt in the slot of that name."""
        return replace(self, row=self.row.with_soft_prompt(soft_prompt))
