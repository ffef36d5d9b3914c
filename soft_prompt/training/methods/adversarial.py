"""Domain-adversarial training (Ganin et al. 2016, arXiv:1505.07818).

A small classifier reads the hidden state that predicts the label's first token and learns which domain the text is
from. Its gradient reaches the soft prompt with the opposite sign, so the state comes to tell the label but not the
domain. The classifier is part of a checkpoint, not of the soft prompt.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, layer_norm, linear, relu

from soft_prompt.errors import TrainingError
from soft_prompt.model.backbone import Backbone
from soft_prompt.training.checkpoint import optimiser_tensors, restore_optimiser
from soft_prompt.training.config import TrainConfig

ADVERSARIAL_WEIGHT = 0.1
# Share of the unlabelled texts in a batch: as many as labelled ones.
UNLABELLED_SHARE = 0.5
_HIDDEN = 64
# Fast enough to follow what it reads, and with little momentum, since momentum makes adversarial training oscillate
# (Radford et al. 2016, arXiv:1511.06434).
_RATE = 3e-3
_BETAS = (0.5, 0.999)
# As in the paper: how fast the weight rises.
_STEEPNESS = 10.0


def reversal_weight(weight: float, progress: float) -> float:
    """The weight of the reversed gradient when this share of the steps is done: from 0, soon close to `weight`."""
    return weight * (2 / (1 + math.exp(-_STEEPNESS * progress)) - 1)


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, values: Tensor, weight: float) -> Tensor:
        ctx.weight = weight  # type: ignore[attr-defined]
        return values.view_as(values)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.weight * gradients[0], None  # type: ignore[attr-defined]


def reverse_gradient(values: Tensor, weight: float) -> Tensor:
    """The values unchanged; their gradient is multiplied by `-weight`."""
    reversed_values: Tensor = _Reversal.apply(values, weight)  # type: ignore[no-untyped-call]
    return reversed_values


class Adversary:
    """The domain classifier of a run, with one hidden layer, and its optimiser.

    Args:
        hidden_size: of the backbone.
        domains: number of domains.
        weight: of the reversed gradient at the end of the run.
        seed: of the initial weights.
        device: of the hidden states.
    """

    def __init__(self, hidden_size: int, domains: int, weight: float, seed: int, device: torch.device) -> None:
        generator = torch.Generator().manual_seed(seed)
        initial = {
            "adversary.hidden": torch.randn(_HIDDEN, hidden_size, generator=generator) / hidden_size**0.5,
            "adversary.hidden_bias": torch.zeros(_HIDDEN),
            "adversary.out": torch.randn(domains, _HIDDEN, generator=generator) / _HIDDEN**0.5,
            "adversary.out_bias": torch.zeros(domains),
        }
        self.by_name = {name: tensor.to(device).requires_grad_(True) for name, tensor in initial.items()}
        self.optimizer = torch.optim.AdamW(self.by_name.values(), lr=_RATE, betas=_BETAS, weight_decay=0.0)
        self._weight = weight
        self._reversal = 0.0
        self._shares: dict[int, float] = {}
        self.accuracy = 0.0

    def start_step(self, domains: Sequence[int], progress: float) -> None:
        """Begin a step, or begin it again.

        Args:
            domains: the domain of every example of the batch, over all processes.
            progress: share of the run's steps that are done.
        """
        self.optimizer.zero_grad(set_to_none=True)
        self._reversal = reversal_weight(self._weight, progress)
        counts = Counter(domains)
        # Every domain of a batch counts the same, however many examples it has there.
        self._shares = {domain: 1 / (count * len(counts)) for domain, count in counts.items()}
        self.accuracy = 0.0

    def logits(self, states: Tensor) -> Tensor:
        """`[examples, domains]`, without reversal."""
        own = self.by_name
        hidden = relu(
            linear(layer_norm(states, states.shape[-1:]), own["adversary.hidden"], own["adversary.hidden_bias"])
        )
        return linear(hidden, own["adversary.out"], own["adversary.out_bias"])

    def loss(self, states: Tensor, domains: Sequence[int]) -> Tensor:
        """Cross entropy of the domains, a part of the batch's mean in nats; its gradient in `states` is reversed.

        Args:
            states: `[examples, hidden]`, fp32.
            domains: of these examples.
        """
        logits = self.logits(reverse_gradient(states, self._reversal))
        targets = torch.tensor(list(domains), device=logits.device)
        shares = torch.tensor([self._shares[domain] for domain in domains], device=logits.device)
        self.accuracy += float((shares * (logits.argmax(dim=-1) == targets)).sum())
        return (cross_entropy(logits, targets, reduction="none") * shares).sum()

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint needs: the tensors and AdamW's moments."""
        return optimiser_tensors(self.by_name, self.optimizer)

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `state` returned."""
        restore_optimiser(self.by_name, self.optimizer, tensors)


def adversary(config: TrainConfig, backbone: Backbone, domains: Sequence[int]) -> Adversary | None:
    """The domain classifier of a run; None for the other methods.

    Args:
        domains: of the labelled examples; there is always a domain 0.

    Raises:
        TrainingError: if the backbone is an encoder-decoder.
    """
    if config.method != "adversarial":
        return None
    if backbone.encoder_decoder:
        raise TrainingError(
            found=f"the method 'adversarial' with the encoder-decoder {backbone.id!r}",
            expected="a decoder-only backbone",
            next_step="set another `train.method` or `backbone` in domain.yaml",
        )
    weight = ADVERSARIAL_WEIGHT if config.adversarial_weight is None else config.adversarial_weight
    return Adversary(backbone.hidden_size, max(domains) + 1, weight, config.seed, backbone.device)
