"""The inputs of an encoder-decoder: a row's embeddings on the encoder side, answers on the decoder side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from soft_prompt.errors import BackboneError, ContextError
from soft_prompt.graft.prompt import SoftPrompt
from soft_prompt.model.backbone import Backbone
from soft_prompt.rows.row import Row

if TYPE_CHECKING:
    pass


def input_length(backbone: Backbone, row: Row) -> int:
    """Positions that the encoder reads, with those that the tokenizer puts around every input."""
    before, after = _frame(backbone)
    return len(before) + row.length + len(after)


def encoder_inputs(backbone: Backbone, rows: Sequence[Row], answer: int) -> tuple[Tensor, Tensor]:
    """Embeddings `[batch, tokens, hidden]` in the backbone's dtype, differentiable in the vectors, and their mask."""
    longest = max(max(input_length(backbone, row) for row in rows), answer)
    if longest > backbone.context_length:
        raise ContextError(
            found=f"a prompt or an answer of {longest} tokens",
            expected=f"at most {backbone.context_length} tokens each for the backbone {backbone.id!r}",
            next_step="lower `evidence_tokens` or `max_tokens` in domain.yaml, or ask a shorter question",
        )
    embedded = [_embed(backbone, row) for row in rows]
    padded = torch.nn.utils.rnn.pad_sequence(embedded, batch_first=True)
    ones = [torch.ones(len(row), dtype=torch.int64, device=backbone.device) for row in embedded]
    return padded, torch.nn.utils.rnn.pad_sequence(ones, batch_first=True)


def _embed(backbone: Backbone, row: Row) -> Tensor:
    """A whole row as the encoder reads it, `[tokens, hidden]`."""
    before, after = _frame(backbone)
    found = []
    for part in (before, row.prefix, *row.suffix, after):
        if isinstance(part, SoftPrompt):
            if part.kind == "kv":
                backbone.require_decoder_only("a kv soft prompt")
            if part.adapter is not None:
                backbone.require_decoder_only("an adapter")
            found.append(part.vectors.to(device=backbone.device, dtype=backbone.dtype))
        elif part:
            found.append(backbone.embed(part))
    return torch.cat(found)


def _frame(backbone: Backbone) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What the tokenizer puts before and behind every input: T5's ends inputs with an end token."""
    probe = "a"
    bare = backbone.tokenizer.encode(probe, add_special_tokens=False)
    framed = backbone.tokenizer.encode(probe, add_special_tokens=True)
    for first in range(len(framed) - len(bare) + 1):
        if framed[first : first + len(bare)] == bare:
            return tuple(framed[:first]), tuple(framed[first + len(bare) :])
    return (), ()


def decoder_start_id(backbone: Backbone) -> int:
    """The token id that the decoder reads first."""
    found = backbone.model.generation_config.decoder_start_token_id
    found = getattr(backbone.model.config, "decoder_start_token_id", None) if found is None else found
    if found is None:
        raise BackboneError(
            found=f"the backbone {backbone.id!r} names no token for its decoder to start with",
            expected="`decoder_start_token_id` in its config",
            next_step="choose another backbone in domain.yaml",
        )
    return int(found)
