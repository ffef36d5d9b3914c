"""What training changes, and the optimiser that changes it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from soft_prompt.errors import TrainingError
from soft_prompt.graft.prompt import VECTORS, SoftPrompt
from soft_prompt.training.config import TrainConfig
from soft_prompt.training.reparameterise import NETWORK, initial_network, reparameterised
from soft_prompt.training.schedule import learning_rate

_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


class TrainedTensors:
    """The tensors of a soft prompt while it is trained: vectors, an adapter's weights, a reparameterising network.

    Args:
        start: the initial vectors; not changed.
        config: settings.
        device: where to train.

    Raises:
        TrainingError: there is nothing to train, or a setting asks for vectors and the start has none that are trained.
    """

    def __init__(self, start: SoftPrompt, config: TrainConfig, device: torch.device) -> None:
        _require_vectors(start, config)
        self._start = replace(start, lower=None if start.lower is None else start.lower.to(device))
        self._config = config
        tensors = dict(start.tensors())
        if config.reparameterise:
            tensors |= initial_network(start.vectors, start.kind, config.seed)
        self.by_name = {
            n: t.detach().to(device, torch.float32).clone().requires_grad_(True) for n, t in tensors.items()
        }
        self._peaks = [config.learning_rate if n == VECTORS else config.adapter_learning_rate for n in self.by_name]
        groups = [{"params": [t], "lr": peak} for t, peak in zip(self.by_name.values(), self._peaks, strict=True)]
        self.optimizer = torch.optim.AdamW(groups, weight_decay=0.0)

    def soft_prompt(self) -> SoftPrompt:
        """As it is now, differentiable in what is trained."""
        plain = {name: tensor for name, tensor in self.by_name.items() if name not in NETWORK}
        if self._config.reparameterise:
            network = {name: self.by_name[name] for name in NETWORK}
            plain[VECTORS] = reparameterised(plain[VECTORS], self._start.kind, network)
        return self._start.with_tensors(plain)

    def for_step(self, step: int) -> SoftPrompt:
        """What step `step`, from 0, trains: all positions, or with `random_length` the first few of them.

        The number is drawn from the seed and the step, so a run that goes on draws the same (SPRING, Zhu et al. 2024,
        arXiv:2405.19670).
        """
        whole = self.soft_prompt()
        if not self._config.random_length:
            return whole
        chance = random.Random(f"{self._config.seed}-length-{step}")
        return whole.shortened(chance.randint(1, whole.length))

    def plain(self) -> dict[str, Tensor]:
        """Copies of the tensors of the soft prompt as it is now, without what made them."""
        with torch.no_grad():
            return {name: tensor.detach().clone() for name, tensor in self.soft_prompt().tensors().items()}

    def set_rates(self, step: int, total: int) -> float:
        """Take up the learning rates of a step; returns that of the vectors, or of an adapter alone."""
        for group, peak in zip(self.optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = learning_rate(step, peak=peak, warmup=self._config.warmup_steps, total=total)
        return float(self.optimizer.param_groups[0]["lr"])

    def clip(self) -> float:
        """Shorten the gradient to the largest norm allowed; returns the norm it had."""
        return float(torch.nn.utils.clip_grad_norm_(self.by_name.values(), self._config.clip))

    def state(self) -> dict[str, Tensor]:
        """Everything a checkpoint needs: the tensors, and AdamW's moments."""
        tensors = {f"now.{name}": tensor for name, tensor in self.by_name.items()}
        for name, tensor in self.by_name.items():
            tensors |= {f"{kind}.{name}": moment for kind, moment in self.optimizer.state.get(tensor, {}).items()}
        return tensors

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take up what `state` gave."""
        moments: dict[int, dict[str, Tensor]] = {}
        for number, (name, tensor) in enumerate(self.by_name.items()):
            with torch.no_grad():
                tensor.copy_(tensors[f"now.{name}"])
            if f"exp_avg.{name}" in tensors:
                moments[number] = {kind: tensors[f"{kind}.{name}"] for kind in _MOMENTS}
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})


def _require_vectors(start: SoftPrompt, config: TrainConfig) -> None:
    """Refuse, for the kind `adapter`, what only vectors can do."""
    if start.kind != "adapter":
        return
    if start.adapter is None:
        raise TrainingError(
            found="a soft prompt of the kind 'adapter' without an adapter",
            expected="one with weights to train",
            next_step="make it with adapter_prompt(backbone, slot, text_twin, adapter)",
        )
    asked = [name for name in ("reparameterise", "random_length") if getattr(config, name)]
    if asked:
        raise TrainingError(
            found=f"{' and '.join(asked)} with the kind 'adapter', which trains no vectors",
            expected="the kind `embedding` or `kv` for that",
            next_step="softgraft train DOMAIN --kind adapter --no-reparameterise --whole-length",
        )
