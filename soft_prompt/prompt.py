"""A soft prompt: learned vectors that fill a soft slot.

The `embedding` kind is prompt tuning (Lester et al. 2021, arXiv:2104.08691) with the slot anywhere in the template.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from soft_prompt.backbone import Backbone
from soft_prompt.errors import TrainingError


@dataclass(frozen=True, eq=False)
class SoftPrompt:
    """Vectors for one soft slot, one a position.

    Attributes:
        slot: name of the soft slot.
        vectors: `[length, hidden]`, fp32, on the CPU or the backbone's device.
        text_twin: the text that the vectors started from.
    """

    slot: str
    vectors: Tensor
    text_twin: str

    @property
    def length(self) -> int:
        """How many positions the soft prompt takes."""
        return int(self.vectors.shape[0])


def from_text_twin(backbone: Backbone, slot: str, text_twin: str, length: int | None = None) -> SoftPrompt:
    """A soft prompt that starts as the embeddings of its text twin.

    Args:
        backbone: whose embeddings are taken.
        slot: name of the soft slot.
        text_twin: the text to start from.
        length: number of positions; None means one a token of the text. A shorter length keeps the first
            tokens, a longer one repeats the text; the trained prompt is measured against the whole text either way.

    Returns:
        A soft prompt with vectors `[length, hidden]`, fp32.

    Raises:
        TrainingError: the text is empty or the length is not positive.
    """
    ids: Sequence[int] = backbone.encode_text(text_twin)
    if not ids or (length is not None and length < 1):
        raise TrainingError(
            found=f"a text twin of {len(ids)} tokens and a length of {length}",
            expected="a text twin with at least one token and a length of at least 1",
            next_step="write the text twin under `soft_slots:` in the template, or set `train.length` in domain.yaml",
        )
    wanted = len(ids) if length is None else length
    repeated = [ids[i % len(ids)] for i in range(wanted)]
    return SoftPrompt(slot, backbone.embed(repeated).to(torch.float32).clone(), text_twin)
