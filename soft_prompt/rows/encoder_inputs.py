"""Inputs of an encoder-decoder: the embeddings of whole rows for the encoder, the start token for the decoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from soft_prompt.errors import BackboneError, ContextError
from soft_prompt.graft.prompt import SoftPrompt
from soft_prompt.model.backbone import Backbone
from soft_prompt.rows.row import Row, embed_parts


def input_length(backbone: Backbone, row: Row) -> int:
    """Number of positions that the encoder reads, with the special tokens around every input."""
    before, after = _special_tokens(backbone)
    return len(before) + row.length + len(after)


def encoder_inputs(backbone: Backbone, rows: Sequence[Row], answer_length: int) -> tuple[Tensor, Tensor]:
    """The encoder's inputs for a batch, padded on the right. The decoder will read at most `answer_length` tokens.

    Returns:
        Embeddings `[batch, tokens, hidden]` in the backbone's dtype, differentiable in the soft prompts' vectors, and
        their mask `[batch, tokens]`, int64.

    Raises:
        ContextError: if a prompt or an answer is longer than the backbone's context.
        BackboneError: if a prompt has a `kv` soft prompt or an adapter.
    """
    longest = max(max(input_length(backbone, row) for row in rows), answer_length)
    if longest > backbone.context_length:
        raise ContextError(
            found=f"a prompt or an answer of {longest} tokens",
            expected=f"at most {backbone.context_length} tokens each for the backbone {backbone.id!r}",
            next_step="lower `evidence_tokens` or `max_tokens` in domain.yaml, or ask a shorter question",
        )
    for part in (part for row in rows for part in row.suffix if isinstance(part, SoftPrompt)):
        if part.kind == "kv":
            backbone.require_decoder_only("a kv soft prompt")
        if part.adapter is not None:
            backbone.require_decoder_only("an adapter")
    before, after = _special_tokens(backbone)
    embeddings = [embed_parts(backbone, (before, row.prefix, *row.suffix, after)) for row in rows]
    ones = [torch.ones(len(row), dtype=torch.int64, device=backbone.device) for row in embeddings]
    pad = torch.nn.utils.rnn.pad_sequence
    return pad(embeddings, batch_first=True), pad(ones, batch_first=True)


def _special_tokens(backbone: Backbone) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Token ids that the tokenizer adds before and behind every input: T5's adds an end token."""
    probe = "a"
    plain = backbone.tokenizer.encode(probe, add_special_tokens=False)
    framed = backbone.tokenizer.encode(probe, add_special_tokens=True)
    for first in range(len(framed) - len(plain) + 1):
        if framed[first : first + len(plain)] == plain:
            return tuple(framed[:first]), tuple(framed[first + len(plain) :])
    return (), ()


def decoder_start_id(backbone: Backbone) -> int:
    """The token id that the decoder reads first.

    Raises:
        BackboneError: if the model's configs have none.
    """
    for config in (backbone.model.generation_config, backbone.model.config):
        start = getattr(config, "decoder_start_token_id", None)
        if start is not None:
            return int(start)
    raise BackboneError(
        found=f"the backbone {backbone.id!r} has no start token for its decoder",
        expected="`decoder_start_token_id` in its config",
        next_step="choose another backbone in domain.yaml",
    )
