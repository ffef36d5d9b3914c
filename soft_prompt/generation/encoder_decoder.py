"""Decoding with encoder-decoders (T5, Raffel et al. 2020, arXiv:1910.10683), whose soft slot is in the encoder's input.

An encoder reads in both directions, so everything before the slot depends on it. There is no prefix to store, and only
the `embedding` kind can fill the slot. Rows are padded on the right, which changes neither relative nor absolute
positions of an encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from soft_prompt.generation.reply import Delta
from soft_prompt.generation.sampling import Decoding, next_tokens
from soft_prompt.model.backbone import Backbone
from soft_prompt.rows.encoder_inputs import decoder_start_id, encoder_inputs
from soft_prompt.rows.row import Row


def decode_encoder_decoder(
    backbone: Backbone,
    rows: Sequence[Row],
    decoding: Decoding,
    generators: Sequence[torch.Generator],
    add_token: Callable[[int, int], Delta],
    *,
    mask: Callable[[Tensor, Sequence[int]], Tensor],
    cancelled: Callable[[], bool] | None = None,
) -> Iterator[Delta]:
    """Decode rows together. A finished row leaves the batch.

    Args:
        backbone: an encoder-decoder.
        rows: the encoded prompts.
        decoding: sampling settings.
        generators: random generator of each row.
        add_token: takes the number of a row in the batch and its next token, and returns the row's new text.
        mask: takes logits `[rows, vocabulary]` and the rows' numbers, and masks forbidden tokens.
        cancelled: checked before each token; True ends the iterator.

    Yields:
        Deltas with text or a finished reply.

    Raises:
        ContextError: if a prompt or `max_tokens` is longer than the backbone's context.
        BackboneError: if a prompt has a `kv` soft prompt or an adapter.
    """
    with torch.no_grad():
        embeddings, attention_mask = encoder_inputs(backbone, rows, decoding.max_tokens)
        encoder = backbone.model.get_encoder()
        states = encoder(inputs_embeds=embeddings, attention_mask=attention_mask).last_hidden_state
    # A cache made from a config would cut layers with sliding windows.
    cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
    tokens = torch.full((len(rows),), decoder_start_id(backbone), device=backbone.device)
    live = list(range(len(rows)))
    while live and not (cancelled is not None and cancelled()):
        with torch.no_grad():
            logits = backbone.model(
                encoder_outputs=BaseModelOutput(last_hidden_state=states),
                attention_mask=attention_mask,
                decoder_input_ids=tokens[:, None],
                past_key_values=cache,
                use_cache=True,
            ).logits[:, -1]
            tokens = next_tokens(mask(logits, live), decoding, [generators[row] for row in live])
        keep = []
        for index, (row, token) in enumerate(zip(live, tokens.tolist(), strict=True)):
            delta = add_token(row, token)
            if delta.reply is None:
                keep.append(index)
            if delta.text or delta.reply is not None:
                yield delta
        if len(keep) < len(live):
            kept = torch.tensor(keep, dtype=torch.int64, device=backbone.device)
            live = [live[index] for index in keep]
            tokens, states, attention_mask = tokens[kept], states[kept], attention_mask[kept]
            cache.batch_select_indices(kept)
