"""A soft prompt: learned vectors that fill a soft slot.

The `embedding` kind is prompt tuning (Lester et al. 2021, arXiv:2104.08691), the `kv` kind prefix tuning without its
reparameterisation (Li and Liang 2021, arXiv:2101.00190), both with the slot anywhere in the template. The `adapter`
kind keeps the text twin in the slot and trains only an adapter that acts from the slot on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from soft_prompt.errors import TrainingError
from soft_prompt.graft.adapter import Adapter
from soft_prompt.model.backbone import Backbone
from soft_prompt.positions.rotary import rotate

SoftPromptKind = Literal["embedding", "kv", "adapter"]
VECTORS = "vectors"
LOWER = "lower"


@dataclass(frozen=True, eq=False)
class SoftPrompt:
    """Vectors for one soft slot.

    Attributes:
        slot: name of the soft slot.
        vectors: fp32. For `embedding`: `[length, hidden]`. For `kv`: `[layers, 2, kv_heads, length, head_dim]`, keys
            before values, keys without rotary position. For `adapter`: `[tokens, hidden]`, the embeddings of the text
            twin, which are not trained.
        text_twin: the text that the vectors started from.
        kind: what the vectors are.
        adapter: acts from the slot on; trained with the vectors, or alone for the kind `adapter`. None for none.
        lower: fp32, for `kv` alone: `[lower layers, 2, kv_heads, length, head_dim]`, the text twin's keys and values in
            the layers below those of `vectors`, which are not trained. None if `vectors` has all layers.
    """

    slot: str
    vectors: Tensor
    text_twin: str
    kind: SoftPromptKind = "embedding"
    adapter: Adapter | None = None
    lower: Tensor | None = None

    def tensors(self) -> dict[str, Tensor]:
        """The trained tensors by name: `vectors` and the adapter's weights."""
        own = {} if self.kind == "adapter" else {VECTORS: self.vectors}
        return own | (self.adapter.tensors() if self.adapter else {})

    def frozen_tensors(self) -> dict[str, Tensor]:
        """The tensors that are not trained, by name: `lower`, or the `vectors` of the kind `adapter`."""
        if self.kind == "adapter":
            return {VECTORS: self.vectors}
        return {} if self.lower is None else {LOWER: self.lower}

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of everything that affects answers. Computed once, so not for a soft prompt in training."""
        digest = hashlib.sha256(f"{self.slot}\0{self.kind}".encode())
        for name, tensor in sorted({**self.frozen_tensors(), **self.tensors()}.items()):
            data = tensor.detach().to("cpu", torch.float32).contiguous()
            digest.update(f"\0{name}\0{tuple(data.shape)}\0".encode())
            digest.update(data.numpy().tobytes())
        return digest.hexdigest()

    def with_tensors(self, tensors: Mapping[str, Tensor]) -> SoftPrompt:
        """The soft prompt with other trained tensors, named as in `tensors`."""
        weights = {name: tensor for name, tensor in tensors.items() if name != VECTORS}
        adapter = Adapter.from_tensors(weights) if weights else None
        return replace(self, vectors=tensors.get(VECTORS, self.vectors), adapter=adapter)

    def with_trained_layers(self, layers: int) -> SoftPrompt:
        """The same soft prompt with the last `layers` layers in `vectors` and the others in `lower`.

        The kind `adapter` has no layers of its own and stays as it is.

        Raises:
            TrainingError: if the kind is `embedding`, there are fewer layers, or the adapter changes a lower layer.
        """
        if self.kind == "adapter" and self.adapter is not None and 1 <= layers <= self.adapter.blocks.stop:
            self._require_above(self.adapter.blocks.stop - layers, layers)
            return self
        if self.kind != "kv" or not 1 <= layers <= self.vectors.shape[0]:
            raise TrainingError(
                found=f"{layers} layers to train of the kind {self.kind!r}"
                + {"kv": f" with {self.vectors.shape[0]}", "embedding": ", which has none", "adapter": ""}[self.kind],
                expected="at least one layer and no more than a `kv` soft prompt or the backbone has",
                next_step="correct `train.layers` in domain.yaml, or: softgraft train DOMAIN --kind kv --layers N",
            )
        below = self.vectors.shape[0] - layers
        if not below:
            return self
        self._require_above(below + self.lower_layers, layers)
        lower = self.vectors[:below].detach().clone()
        lower = lower if self.lower is None else torch.cat((self.lower, lower))
        return replace(self, vectors=self.vectors[below:].clone(), lower=lower)

    def _require_above(self, first: int, layers: int) -> None:
        if self.adapter is not None and self.adapter.blocks.start < first:
            raise TrainingError(
                found=f"an adapter in block {self.adapter.blocks.start}, and {layers} layers to train",
                expected="an adapter in the trained blocks alone, since training does not run through those below",
                next_step=f"create it with initial_adapter(backbone, rank, seed, layers={layers}), or train all layers",
            )

    @property
    def lower_layers(self) -> int:
        """Number of layers that are not trained."""
        return 0 if self.lower is None else int(self.lower.shape[0])

    @property
    def length(self) -> int:
        """Number of positions in the prompt."""
        return int(self.vectors.shape[3] if self.kind == "kv" else self.vectors.shape[0])

    @property
    def run_length(self) -> int:
        """Number of positions that run through the model: none for `kv`."""
        return 0 if self.kind == "kv" else self.length


def keys_and_values(
    backbone: Backbone, soft_prompt: SoftPrompt, first: int, frozen_layers: int | None = None
) -> tuple[Tensor, Tensor]:
    """Keys and values of a `kv` soft prompt, rotated to the positions from `first` on.

    Args:
        backbone: whose rotary embedding is used.
        soft_prompt: of the kind `kv`.
        first: position of its first vector.
        frozen_layers: number of layers in the first part of the result, at most `lower_layers`, which is the default.

    Returns:
        The frozen layers and the others, each `[layers, 2, kv_heads, length, head_dim]` in the backbone's dtype. Only
        the second part is differentiable in the vectors.

    Raises:
        BackboneError: if keys and values of this backbone cannot be moved.
    """
    vectors, lower = soft_prompt.vectors, soft_prompt.lower
    lower = vectors.detach()[:0] if lower is None else lower
    split = lower.shape[0] if frozen_layers is None else frozen_layers
    # Two tensors, since one that needs a gradient in any layer needs it in every layer.
    upper = vectors if split == lower.shape[0] else torch.cat((lower[split:].to(vectors.device), vectors))

    def positioned(vectors: Tensor, layer: int) -> Tensor:
        vectors = vectors.to(backbone.device)
        keys = rotate(backbone, vectors[:, 0], first, layer)
        return torch.stack((keys, vectors[:, 1]), dim=1).to(backbone.dtype)

    return positioned(lower[:split], 0), positioned(upper, split)
