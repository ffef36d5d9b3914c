"""A step of Llama-like models with the compiled kernels: few operations per layer.

For one token per row, starting operations takes longer than the arithmetic between the matrix products. Here a layer is
four products and a handful of calls. Models with another structure, and machines without the kernels, run Transformers'
own layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from soft_prompt.engine.attention import attend_tokens
from soft_prompt.engine.layout import StepLayout
from soft_prompt.engine.native.kernel import MAX_RANKS, Kernels
from soft_prompt.engine.token_adapters import JoinedLayer, StepAdapters
from soft_prompt.model.linear import packed_product, packed_weights
from soft_prompt.model.optimized import can_pack

# Models whose layers are: norm, attention with rotary positions, norm, gated MLP.
_MODELS = frozenset({"LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"})
# Parts of a layer, in the order of a joined product.
_ATTENTION = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
_OUTPUT = ("self_attn.o_proj",)
_MLP = ("mlp.gate_proj", "mlp.up_proj")
_DOWN = ("mlp.down_proj",)
# Up to this number of tokens the low-rank kernel is faster than two products.
_FEW = 64


class _Product:
    """One or more linear layers with the same input as one product."""

    def __init__(self, block: str, names: tuple[str, ...], modules: dict[str, Any]) -> None:
        layers = [modules[f"{block}.{name}"] for name in names]
        self.names = [f"{block}.{name}" for name in names]
        self.sizes = [int(layer.out_features) for layer in layers]
        self._packed = packed_weights([layer.weight for layer in layers])
        biases = [layer.bias for layer in layers]
        self._bias = None if biases[0] is None else torch.cat([bias.detach() for bias in biases])

    def __call__(self, x: Tensor, adapters: StepAdapters | None, kernels: Kernels) -> Tensor:
        """`[rows, inputs]` to `[rows, outputs of all layers]`."""
        own = [] if adapters is None else [adapters.layers.get(name) for name in self.names]
        for layer in own:
            if layer is not None and layer.scale_in is not None and adapters is not None:
                # Only the last layer of an MLP has scaled inputs, and it is alone in its product.
                x = torch.addcmul(x, x, layer.scale_in.index_select(0, adapters.owners))
        product = packed_product(x, self._packed, self._bias)
        first = 0
        for size, layer in zip(self.sizes, own, strict=False):
            if layer is not None and adapters is not None:
                _adapt(product[:, first : first + size], x, layer, adapters, kernels)
            first += size
        return product


def _adapt(output: Tensor, x: Tensor, layer: JoinedLayer, adapters: StepAdapters, kernels: Kernels) -> None:
    """Apply the adapters of a step to a layer's output in place."""
    if layer.scale_out is not None:
        torch.addcmul(output, output, layer.scale_out.index_select(0, adapters.owners), out=output)
    if layer.down is None or layer.up is None:
        return
    if len(x) <= _FEW and layer.most_ranks <= MAX_RANKS:
        kernels.add_low_rank(output, x, layer.down, layer.up, adapters.owner_array, layer.first)
    else:
        output.addmm_((x @ layer.down.mT) * adapters.mask(layer), layer.up)


@dataclass(frozen=True, eq=False)
class _Layer:
    attention: _Product
    output: _Product
    mlp: _Product
    down: _Product
    norms: tuple[Tensor, Tensor]
    head_norms: tuple[Tensor, Tensor] | None
    scale: float
    window: int | None


class FastLayers:
    """The layers of a model, ready for decoding steps."""

    def __init__(self, model: Any, kernels: Kernels, kv_heads: int) -> None:
        base, config = model.model, model.config
        modules = dict(model.named_modules())
        self._base, self._kernels, self._kv_heads = base, kernels, kv_heads
        self._heads, self._epsilon = int(config.num_attention_heads), float(config.rms_norm_eps)
        self._layers = []
        for number, layer in enumerate(base.layers):
            block, attention = f"model.layers.{number}", layer.self_attn
            norms = (layer.input_layernorm.weight, layer.post_attention_layernorm.weight)
            own = (attention.q_norm.weight, attention.k_norm.weight) if hasattr(attention, "q_norm") else None
            window = getattr(attention, "sliding_window", None)
            self._layers.append(
                _Layer(
                    attention=_Product(block, _ATTENTION, modules),
                    output=_Product(block, _OUTPUT, modules),
                    mlp=_Product(block, _MLP, modules),
                    down=_Product(block, _DOWN, modules),
                    norms=norms,
                    head_norms=own,
                    scale=float(attention.scaling),
                    window=_window(attention, window),
                )
            )

    @classmethod
    def of(cls, model: Any, kernels: Kernels | None, kv_heads: int) -> FastLayers | None:
        """The layers; None if the model has another structure, or there are no kernels."""
        config = model.config
        known = type(model).__name__ in _MODELS and getattr(config, "hidden_act", None) == "silu"
        return cls(model, kernels, kv_heads) if known and kernels is not None and can_pack(model) else None

    def forward(self, hidden: Tensor, positions: Tensor, layout: StepLayout, adapters: StepAdapters | None) -> Tensor:
        """Hidden states behind the last norm.

        Args:
            hidden: embeddings of the new tokens, `[rows, hidden]`, which are overwritten.
            positions: `[1, rows]`, int64.
            layout: of the step.
            adapters: of the step.

        Returns:
            `[rows, hidden]`.
        """
        kernels, rows = self._kernels, len(hidden)
        cosine, sine = (x[0].float().contiguous() for x in self._base.rotary_emb(hidden[None], position_ids=positions))
        more: Tensor | None = None
        for number, layer in enumerate(self._layers):
            normed = kernels.add_norm(hidden, more, layer.norms[0], self._epsilon)
            joined = layer.attention(normed, adapters, kernels).view(rows, self._heads + 2 * self._kv_heads, -1)
            kernels.rotate(joined, cosine, sine, layer.head_norms, self._heads, self._kv_heads, self._epsilon)
            query, key = joined[:, : self._heads], joined[:, self._heads : -self._kv_heads]
            value, window = joined[:, -self._kv_heads :], layout.window(layer.window)
            attended = attend_tokens(query, key, value, layout, window, number, layer.scale, None, kernels)
            attended = attended.view(rows, -1)
            normed = kernels.add_norm(hidden, layer.output(attended, adapters, kernels), layer.norms[1], self._epsilon)
            more = layer.down(kernels.gated(layer.mlp(normed, adapters, kernels)), adapters, kernels)
        return kernels.add_norm(hidden, more, self._base.norm.weight, self._epsilon)


def _window(attention: Any, size: int | None) -> int | None:
    """The sliding window of a layer; Mistral keeps it in the config."""
    if size is None and type(attention).__name__ == "MistralAttention":
        return getattr(attention.config, "sliding_window", None)
    return size
