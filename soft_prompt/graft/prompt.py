"""A soft prompt: learned vectors that fill a soft slot.

The `embedding` kind is prompt tuning (Lester et al. 2021, arXiv:2104.08691), the `kv` kind prefix tuning without its
reparameterisation (Li and Liang 2021, arXiv:2101.00190), both with the slot anywhere in the template. The `adapter`
kind leaves the slot's text as it is and trains only the weights that act from the slot on.
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
        vectors: fp32; `[length, hidden]` for `embedding`, and `[layers, 2, kv_heads, length, head_dim]` for `kv`,
            keys before values, keys without rotary position; for `adapter` `[tokens, hidden]`, the embeddings of the
            text twin, which are never trained.
        text_twin: the text that the vectors started from.
        kind: what the vectors are.
        adapter: weights that act from the slot on, trained with the vectors, or alone for the kind `adapter`; None for
            vectors alone.
        lower: fp32, for `kv` alone: `[layers below, 2, kv_heads, length, head_dim]`, the text twin's keys and values in
            the layers below those of `vectors`, which are never trained; None where `vectors` has all layers.
    """

    slot: str
    vectors: Tensor
    text_twin: str
    kind: SoftPromptKind = "embedding"
    adapter: Adapter | None = None
    lower: Tensor | None = None

    def tensors(self) -> dict[str, Tensor]:
        """Everything that training changes, by name: `vectors`, and an adapter's weights."""
        own = {} if self.kind == "adapter" else {VECTORS: self.vectors}
        return own | (self.adapter.tensors() if self.adapter else {})

    def frozen(self) -> dict[str, Tensor]:
        """What belongs to it and is never trained, by name: `lower`, or the `vectors` of the kind `adapter`."""
        if self.kind == "adapter":
            return {VECTORS: self.vectors}
        return {} if self.lower is None else {LOWER: self.lower}

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of all that an answer depends on. For a soft prompt that is no longer trained."""
        digest = hashlib.sha256(f"{self.slot}\0{self.kind}".encode())
        for name, tensor in sorted({**self.frozen(), **self.tensors()}.items()):
            whole = tensor.detach().to("cpu", torch.float32).contiguous()
            digest.update(f"\0{name}\0{tuple(whole.shape)}\0".encode())
            digest.update(whole.numpy().tobytes())
        return digest.hexdigest()

    def with_tensors(self, tensors: Mapping[str, Tensor]) -> SoftPrompt:
        """The soft prompt with other tensors of the same names; vectors that are not among them stay."""
        weights = {name: tensor for name, tensor in tensors.items() if name != VECTORS}
        adapter = Adapter.from_tensors(weights) if weights else None
        return replace(self, vectors=tensors.get(VECTORS, self.vectors), adapter=adapter)

    def with_trained_layers(self, layers: int) -> SoftPrompt:
        """The same soft prompt with the last `layers` layers in `vectors` and the others in `lower`.

        One of the kind `adapter` has no layers of its own and stays as it is.

        Raises:
            TrainingError: of the kind `embedding`, fewer layers than that, or an adapter beside a layer below them.
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
        parts = [self.vectors[:below].detach().clone()]
        parts = parts if self.lower is None else [self.lower, *parts]
        return replace(self, vectors=self.vectors[below:].clone(), lower=torch.cat(parts))

    def _require_above(self, first: int, layers: int) -> None:
        if self.adapter is not None and self.adapter.blocks.start < first:
            raise TrainingError(
                found=f"an adapter beside block {self.adapter.blocks.start}, and {layers} layers to train",
                expected="an adapter beside the last blocks alone, since training would run through those below",
                next_step=f"make it with initial_adapter(backbone, rank, seed, layers={layers}), or train all layers",
            )

    @property
    def lower_layers(self) -> int:
        """How many layers are never trained."""
        return 0 if self.lower is None else int(self.lower.shape[0])

    @property
    def length(self) -> int:
        """How many positions the soft prompt takes."""
        return int(self.vectors.shape[3] if self.kind == "kv" else self.vectors.shape[0])

    @property
    def run_length(self) -> int:
        """How many of them run through the model: none for `kv`."""
        return 0 if self.kind == "kv" else self.length


def keys_and_values(
    backbone: Backbone, soft_prompt: SoftPrompt, first: int, cut: int | None = None
) -> tuple[Tensor, Tensor]:
    """A `kv` soft prompt as it stands in a cache from position `first` on.

    Args:
        backbone: whose rotary embedding is used.
        soft_prompt: of the kind `kv`.
        first: position of its first vector.
        cut: number of layers in the first part of the result, at most `lower_layers`, which is the default.

    Returns:
        The layers below the cut and the others, each `[layers, 2, kv_heads, length, head_dim]` in the backbone's dtype.
        Only the second part is differentiable in the vectors.

    Raises:
        BackboneError: keys and values of this backbone cannot be moved.
    """
    vectors, lower = soft_prompt.vectors, soft_prompt.lower
    lower = vectors.detach()[:0] if lower is None else lower
    cut = lower.shape[0] if cut is None else cut
    # Turned apart, since one tensor that needs a gradient anywhere needs it in every layer.
    upper = vectors if cut == lower.shape[0] else torch.cat((lower[cut:].to(vectors.device), vectors))
    return _positioned(backbone, lower[:cut], first, 0), _positioned(backbone, upper, first, cut)


def _positioned(backbone: Backbone, vectors: Tensor, first: int, layer: int) -> Tensor:
    vectors = vectors.to(backbone.device)
    keys = rotate(backbone, vectors[:, 0], first, layer)
    return torch.stack((keys, vectors[:, 1]), dim=1).to(backbone.dtype)
