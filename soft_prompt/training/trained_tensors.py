"""The tensors that training changes, and their optimiser."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from soft_prompt.errors import TrainingError
from soft_prompt.graft.prompt import SoftPrompt
from soft_prompt.training.checkpoint import optimiser_tensors, restore_optimiser
from soft_prompt.training.config import TrainConfig
from soft_prompt.training.methods.parametrisation import Parametrisation
from soft_prompt.training.schedule import learning_rate


class TrainedTensors:
    """The tensors that make up a soft prompt during training, in fp32. The start is not changed."""

    def __init__(self, parts: Parametrisation, config: TrainConfig, device: torch.device) -> None:
        start = parts.start
        if start.kind == "adapter" and start.adapter is None:
            raise TrainingError(
                found="a soft prompt of the kind 'adapter' without an adapter",
                expected="one with weights to train",
                next_step="make it with adapter_prompt(backbone, slot, text_twin, adapter)",
            )
        self._parts = parts
        self._lower = None if start.lower is None else start.lower.to(device)
        self._config = config
        self.by_name = {
            name: tensor.detach().to(device, torch.float32).clone().requires_grad_(True)
            for name, tensor in parts.initial().items()
        }
        self._peaks = [parts.rate(name, config) for name in self.by_name]
        groups = [{"params": [t], "lr": peak} for t, peak in zip(self.by_name.values(), self._peaks, strict=True)]
        self.optimizer = torch.optim.AdamW(groups, weight_decay=0.0)

    def soft_prompt(self, group: int | None = None) -> SoftPrompt:
        """The current soft prompt, of a group of examples or of all, differentiable in the trained tensors."""
        return replace(self._parts.soft_prompt(self.by_name, group), lower=self._lower)

    def move_back(self, anchor: Mapping[str, Tensor], rate: float) -> None:
        """Keep only this share of the way from `anchor` to the current tensors."""
        with torch.no_grad():
            for name, tensor in self.by_name.items():
                tensor.copy_(anchor[name] + rate * (tensor - anchor[name]))

    def snapshot(self) -> dict[str, Tensor]:
        """Copies of the current tensors."""
        return {name: tensor.detach().clone() for name, tensor in self.by_name.items()}

    def set_learning_rates(self, step: int, total: int) -> float:
        """Set the learning rates of a step. Returns that of the vectors, or of an adapter alone."""
        for group, peak in zip(self.optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = learning_rate(step, peak=peak, warmup=self._config.warmup_steps, total=total)
        return float(self.optimizer.param_groups[0]["lr"])

    def clip_gradients(self) -> float:
        """Scale the gradient down to the maximum norm. Returns its norm before."""
        return float(torch.nn.utils.clip_grad_norm_(self.by_name.values(), self._config.clip))

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint needs: the tensors and AdamW's moments."""
        return optimiser_tensors(self.by_name, self.optimizer)

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `state` returned."""
        restore_optimiser(self.by_name, self.optimizer, tensors)
