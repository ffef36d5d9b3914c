"""The forward pass of an engine step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from soft_prompt.engine.attention import engine_attention, engine_step, no_mask
from soft_prompt.engine.block_pool import BlockPool
from soft_prompt.engine.fast_layers import FastLayers
from soft_prompt.engine.layout import KernelLayout, RowTokens, make_layout
from soft_prompt.engine.native.kernel import Kernels
from soft_prompt.engine.token_adapters import TokenAdapters
from soft_prompt.graft.adapter import Adapter
from soft_prompt.graft.adapter_hooks import apply_adapters
from soft_prompt.model.backbone import Backbone
from soft_prompt.model.fused import fuse_norms
from soft_prompt.model.optimized import replace_linear_layers, weight_sharing_copy

_NAME = "softgraft_engine"
_SMALL = 10**7
# A larger pool is given back when nothing runs.
_KEPT_BYTES = 256 * 1024**2
# Model types whose layers have been compared with Transformers' own, token by token. Others may pass options to their
# attention, or keep windows in their masks, that the engine does not know.
MODEL_TYPES = frozenset(
    {"gemma", "gemma2", "gemma3_text", "gpt2", "llama", "mistral", "opt", "phi", "phi3", "qwen2", "qwen3"}
)


@dataclass(frozen=True, eq=False, slots=True)
class RowInput:
    """One row's part of a step.

    Attributes:
        tokens: what the new tokens attend to.
        embeddings: of the new tokens, `[new, hidden]`.
        adapter: acts on the new tokens.
        wants_logits: whether the last of them needs logits.
    """

    tokens: RowTokens
    embeddings: Tensor
    adapter: Adapter | None
    wants_logits: bool


def supports_engine(backbone: Backbone) -> bool:
    """Whether the engine knows how the backbone's model attends."""
    model = backbone.model
    known = model.config.model_type in MODEL_TYPES
    return known and not backbone.encoder_decoder and bool(getattr(model, "_supports_attention_backend", False))


class EngineModel:
    """A backbone whose attention is the engine's. It shares its weights with the given one.

    Attributes:
        backbone: with the engine's model.
        pool: the rows' own keys and values.
        kernels: the compiled kernels; None if there are none.
    """

    def __init__(self, backbone: Backbone, *, int8: bool = False, native: bool | None = None) -> None:
        # These modules take seconds to import, and the backbone has loaded them.
        from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
        from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

        model = weight_sharing_copy(backbone.model)
        ALL_ATTENTION_FUNCTIONS.register(_NAME, engine_attention)
        ALL_MASK_ATTENTION_FUNCTIONS.register(_NAME, no_mask)
        model.config._attn_implementation = _NAME
        replace_linear_layers(model, int8=int8)
        fuse_norms(model)
        self.backbone = replace(backbone, model=model)
        self.pool = BlockPool(backbone.cache_layout, backbone.dtype, backbone.device)
        self._groups = int(model.config.get_text_config().num_attention_heads) // backbone.cache_layout[1]
        self._adapters = TokenAdapters()
        if native is None:
            # A toy model would wait longer for the compiler than it ever decodes.
            native = sum(parameter.numel() for parameter in model.parameters()) > _SMALL
        shape = (self._groups, backbone.cache_layout[2])
        self.kernels = Kernels.load(backbone.dtype, backbone.device, *shape) if native else None
        self._kernel_layout = None if self.kernels is None else KernelLayout()
        # Int8 weights are read by their own layers.
        self._fast = None if int8 else FastLayers.of(model, self.kernels, backbone.cache_layout[1])

    def forward(self, rows: Sequence[RowInput], decoding: int) -> Tensor:
        """Run the new tokens of all rows. The first `decoding` rows have one token each.

        Returns:
            Logits of the rows that want some, `[rows, vocabulary]`.
        """
        device = self.backbone.device
        layout = make_layout(self.pool, [row.tokens for row in rows], decoding, self._groups, self._kernel_layout)
        firsts = [row.tokens.start + row.tokens.before for row in rows]
        numbers = [first + n for first, row in zip(firsts, rows, strict=True) for n in range(row.tokens.new)]
        positions = torch.tensor([numbers], device=device)
        adapters = self._adapters.of_step(self.backbone, [(row.adapter, row.tokens.new) for row in rows])
        embeddings = torch.cat([row.embeddings for row in rows])
        model = self.backbone.model
        lasts, seen = [], 0
        for row in rows:
            seen += row.tokens.new
            if row.wants_logits:
                lasts.append(seen - 1)
        # Prompts whose slices need no logits still get one position's, which costs less than a second code path.
        wanted = torch.tensor(lasts or [0], device=device)
        if self._fast is not None and (adapters is None or not adapters.scales_shared_inputs):
            with torch.no_grad():
                hidden = self._fast.forward(embeddings, positions, layout, adapters)
                fast: Tensor = model.lm_head(hidden if len(lasts) == len(hidden) else hidden[wanted])
            return fast[: len(lasts)]
        hooked = None if adapters is None else adapters.for_hooks()
        with torch.no_grad(), engine_step(layout, self.kernels), apply_adapters(self.backbone, hooked):
            logits: Tensor = model(
                inputs_embeds=embeddings[None], position_ids=positions, use_cache=False, logits_to_keep=wanted
            ).logits[0]
        return logits[: len(lasts)]

    def argmax(self, logits: Tensor) -> list[int]:
        """The most likely token of each row, `[rows, vocabulary]`."""
        largest = logits.argmax(dim=-1) if self.kernels is None else self.kernels.largest(logits.contiguous())
        tokens: list[int] = largest.tolist()
        return tokens

    def rest(self) -> None:
        """Free what is kept from step to step and takes much memory."""
        self._adapters.rest()
        if not self.pool.used_blocks and self.pool.blocks * self.pool.block_bytes > _KEPT_BYTES:
            self.pool.clear()
        if self._kernel_layout is not None:
            self._kernel_layout.clear()
