"""Decoding with encoder-decoders (T5, Raffel et al. 2020, arXiv:1910.10683), whose soft slot is in the encoder's input.

An encoder reads in both directions, so everything before the slot depends on it. There is no prefix to store, and only
the `embedding` kind can fill the slot. Rows are padded on the right, which changes neither relative nor absolute
positions of an encoder.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from soft_prompt.model.backbone import Backbone
from soft_prompt.rows.encoder_inputs import decoder_start_id, encoder_inputs
from soft_prompt.rows.row import Row


class EncoderDecoderPass:
    """The forward passes of a batch: the encoder once, then the decoder once per token.

    Attributes:
        logits: of the next token of each row, `[rows, vocabulary]`.
        cached_tokens: zeros, since nothing is stored.

    Raises:
        ContextError: if a prompt or `max_new_tokens` is longer than the backbone's context.
        BackboneError: if a prompt has a `kv` soft prompt or an adapter.
    """

    def __init__(self, backbone: Backbone, rows: Sequence[Row], max_new_tokens: int) -> None:
        from transformers.cache_utils import DynamicCache, EncoderDecoderCache

        self._backbone = backbone
        with torch.no_grad():
            embeddings, self._mask = encoder_inputs(backbone, rows, max_new_tokens)
            encoder = backbone.model.get_encoder()
            self._states = encoder(inputs_embeds=embeddings, attention_mask=self._mask).last_hidden_state
        # A cache made from a config would cut layers with sliding windows.
        self._cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        self.cached_tokens = [0] * len(rows)
        self.logits = self._forward(torch.full((len(rows),), decoder_start_id(backbone), device=backbone.device))

    def select_rows(self, kept: Tensor) -> None:
        """Keep some rows of the batch. `kept`: their indices, `[kept]`, int64."""
        self._states, self._mask = self._states[kept], self._mask[kept]
        self._cache.batch_select_indices(kept)

    def step(self, tokens: Tensor) -> None:
        """Append one token per row. `tokens`: `[rows]`, int64."""
        self.logits = self._forward(tokens)

    def _forward(self, tokens: Tensor) -> Tensor:
        from transformers.modeling_outputs import BaseModelOutput

        with torch.no_grad():
            logits: Tensor = self._backbone.model(
                encoder_outputs=BaseModelOutput(last_hidden_state=self._states),
                attention_mask=self._mask,
                decoder_input_ids=tokens[:, None],
                past_key_values=self._cache,
                use_cache=True,
            ).logits[:, -1]
        return logits
