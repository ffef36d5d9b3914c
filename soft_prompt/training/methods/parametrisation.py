"""How the trained tensors make up a soft prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from soft_prompt.errors import TrainingError
from soft_prompt.graft.prompt import VECTORS, SoftPrompt
from soft_prompt.training.config import TrainConfig

_MIXTURE = "mixture"
# The weights of a mixture are few and start equal; the rate of the vectors would hardly move them.
_MIXTURE_RATE = 0.1


class Parametrisation(Protocol):
    """Tensors that are trained, and the soft prompt that they make up."""

    start: SoftPrompt

    def initial(self) -> dict[str, Tensor]:
        """The trained tensors at the start, by name."""

    def soft_prompt(self, tensors: Mapping[str, Tensor], group: int | None = None) -> SoftPrompt:
        """The soft prompt of a group of examples, or the common one; differentiable in the tensors."""

    def rate(self, name: str, config: TrainConfig) -> float:
        """Peak learning rate of a tensor."""
        return config.learning_rate if name.rpartition(":")[2] == VECTORS else config.adapter_learning_rate


@dataclass(frozen=True)
class Plain(Parametrisation):
    """The tensors of the soft prompt themselves."""

    start: SoftPrompt

    def initial(self) -> dict[str, Tensor]:
        return self.start.tensors()

    def soft_prompt(self, tensors: Mapping[str, Tensor], group: int | None = None) -> SoftPrompt:
        return self.start.with_tensors(tensors)


@dataclass(frozen=True)
class Mixture(Parametrisation):
    """A weighted mean of several soft prompts, with learned weights, plus an own part that starts at zero.

    After ATTEMPT (Asai et al. 2022, arXiv:2205.11961), with one weight per source and domain instead of one per
    question, so that a domain still has one soft prompt.
    """

    start: SoftPrompt
    sources: Sequence[SoftPrompt]

    def __post_init__(self) -> None:
        shapes = {name: tensor.shape for name, tensor in self.start.tensors().items()}
        for number, source in enumerate(self.sources, 1):
            if {name: tensor.shape for name, tensor in source.tensors().items()} != shapes:
                raise TrainingError(
                    found=f"soft prompt {number} to mix has other tensors than the start",
                    expected="soft prompts of one kind, length and adapter",
                    next_step="leave it out, or train with method='plain'",
                )

    def initial(self) -> dict[str, Tensor]:
        zeros = {f"own:{name}": torch.zeros_like(tensor) for name, tensor in self.start.tensors().items()}
        return {_MIXTURE: torch.zeros(len(self.sources)), **zeros}

    def soft_prompt(self, tensors: Mapping[str, Tensor], group: int | None = None) -> SoftPrompt:
        weights = torch.softmax(tensors[_MIXTURE], dim=0)
        mixed = {
            name: torch.tensordot(weights, torch.stack([one.tensors()[name].to(weights) for one in self.sources]), 1)
            + tensors[f"own:{name}"]
            for name in self.start.tensors()
        }
        return self.start.with_tensors(mixed)

    def rate(self, name: str, config: TrainConfig) -> float:
        return _MIXTURE_RATE if name == _MIXTURE else super().rate(name, config)


@dataclass(frozen=True)
class Shared(Parametrisation):
    """A shared soft prompt with a low-rank difference for each domain.

    After multitask prompt tuning (MPT: Wang et al. 2023, arXiv:2303.02861). For the kind `embedding` the difference is
    a factor, the outer product of two vectors that start at one. For `kv` and adapters, which may be zero where they
    start, it is added: a product of two thin matrices for every matrix, the first of which starts at zero.

    With several `groups`, the shared tensors are trained together with one difference per group. With none, the start
    is the shared soft prompt, and its difference for one domain is all that is trained.
    """

    start: SoftPrompt
    groups: int
    rank: int
    seed: int

    def __post_init__(self) -> None:
        if self._is_factor and self.rank > 1:
            raise TrainingError(
                found=f"a difference of rank {self.rank} for the kind 'embedding'",
                expected="rank 1: its vectors are multiplied by the outer product of two vectors",
                next_step="set `train.difference_rank: 1` in domain.yaml, or train the kind `kv`",
            )

    def initial(self) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(self.seed)
        shared = dict(self.start.tensors()) if self.groups else {}
        for group in range(max(1, self.groups)):
            for name, tensor in self.start.tensors().items():
                shared |= {f"{group}.{part}:{name}": own for part, own in self._difference(tensor, generator).items()}
        return shared

    def soft_prompt(self, tensors: Mapping[str, Tensor], group: int | None = None) -> SoftPrompt:
        start = self.start.tensors()
        shared = {name: tensors.get(name, tensor) for name, tensor in start.items()}
        if self.groups and group is None:
            return self.start.with_tensors(shared)
        number = group or 0
        changed = {}
        for name, tensor in shared.items():
            left, right = tensors[f"{number}.left:{name}"], tensors[f"{number}.right:{name}"]
            tensor = tensor.to(left.device)
            changed[name] = tensor * (left @ right) if self._is_factor else tensor + (left @ right).view_as(tensor)
        return self.start.with_tensors(changed)

    @property
    def _is_factor(self) -> bool:
        return self.start.kind == "embedding" and self.start.adapter is None

    def _difference(self, tensor: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        *outer, rows, columns = tensor.shape if tensor.ndim > 1 else (1, *tensor.shape)
        if self._is_factor:
            return {"left": torch.ones(rows, 1), "right": torch.ones(1, columns)}
        right = torch.randn(*outer, self.rank, columns, generator=generator) / columns**0.5
        return {"left": torch.zeros(*outer, rows, self.rank), "right": right}


def parametrisation(
    start: SoftPrompt, config: TrainConfig, sources: Sequence[SoftPrompt], groups: Sequence[int]
) -> Parametrisation:
    """The parametrisation of a method."""
    if config.method == "mixture":
        return Mixture(start, sources)
    if config.method == "shared":
        return Shared(start, len(set(groups)), config.difference_rank or 1, config.seed)
    return Plain(start)


def on_cpu(soft_prompt: SoftPrompt) -> SoftPrompt:
    """The finished soft prompt, without gradients and in CPU memory."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in soft_prompt.tensors().items()}
    lower = None if soft_prompt.lower is None else soft_prompt.lower.cpu()
    return replace(soft_prompt.with_tensors(tensors), lower=lower)
