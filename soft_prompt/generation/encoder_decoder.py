"""Encoder-decoders (T5, Raffel et al. 2020, arXiv:1910.10683): the soft slot stands in what the encoder reads.

An encoder reads in both directions, so what stands before the slot depends on it: there is no prefix to store, and
only the `embedding` kind can stand there. Rows are padded at the right, where neither relative nor absolute positions
of an encoder notice it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from soft_prompt.generation.sampling import Decoding, next_tokens, row_generators
from soft_prompt.model.backbone import Backbone
from soft_prompt.rows.row import Row

if TYPE_CHECKING:
    pass
from soft_prompt.rows.encoder_inputs import decoder_start_id, encoder_inputs


class Said(Protocol):
    """What a row has said with one more token."""

    @property
    def text(self) -> str:
        """New text."""

    @property
    def reply(self) -> object | None:
        """Set with the last of it."""


S = TypeVar("S", bound=Said)


def decode_answers(
    backbone: Backbone,
    rows: Sequence[Row],
    decoding: Decoding,
    numbers: Sequence[int],
    say: Callable[[int, int], S],
    *,
    mask: Callable[[Tensor, Sequence[int]], Tensor],
    cancelled: Callable[[], bool] | None = None,
) -> Iterator[S]:
    """Decode rows together; a finished row leaves the batch.

    Args:
        backbone: an encoder-decoder.
        rows: the encoded prompts.
        decoding: how.
        numbers: the rows' own numbers, from which their random generators are seeded.
        say: takes a row's place and its next token, and gives what is new in its text.
        mask: takes logits `[rows, vocabulary]` and the rows' places, and rules out what may not come next.
        cancelled: asked before each token; true ends the iterator.

    Yields:
        What `say` gave, where it has text or a finished reply.

    Raises:
        ContextError: a prompt or `max_tokens` is longer than the backbone's context.
        BackboneError: a prompt has a `kv` soft prompt or an adapter.
    """
    with torch.no_grad():
        embeddings, seen = encoder_inputs(backbone, rows, decoding.max_tokens)
        states = backbone.model.get_encoder()(inputs_embeds=embeddings, attention_mask=seen).last_hidden_state
    # A cache made from a config would cut layers with sliding windows.
    cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
    tokens = torch.full((len(rows),), decoder_start_id(backbone), device=backbone.device)
    generators = row_generators(decoding, numbers)
    live = list(range(len(rows)))
    while live and not (cancelled is not None and cancelled()):
        with torch.no_grad():
            logits = backbone.model(
                encoder_outputs=BaseModelOutput(last_hidden_state=states),
                attention_mask=seen,
                decoder_input_ids=tokens[:, None],
                past_key_values=cache,
                use_cache=True,
            ).logits[:, -1]
            tokens = next_tokens(mask(logits, live), decoding, [generators[row] for row in live])
        keep = []
        for place, (row, token) in enumerate(zip(live, tokens.tolist(), strict=True)):
            said = say(row, token)
            if said.reply is None:
                keep.append(place)
            if said.text or said.reply is not None:
                yield said
        if len(keep) < len(live):
            kept = torch.tensor(keep, dtype=torch.int64, device=backbone.device)
            live = [live[place] for place in keep]
            tokens, states, seen = tokens[kept], states[kept], seen[kept]
            cache.batch_select_indices(kept)
