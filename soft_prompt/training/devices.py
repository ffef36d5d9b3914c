"""Training on several devices, a process each: every process takes its share of each batch, gradients are summed.

A launcher (`torchrun`, or `accelerate launch` on GPUs) starts the processes and names them in the environment. In a
single process nothing here does anything, and Accelerate is not imported.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

# The command line asks which process it is before anything heavy loads.
if TYPE_CHECKING:
    import torch
    from torch import Tensor

Something = TypeVar("Something")


@dataclass(frozen=True, slots=True)
class Devices:
    """This process among those of the run.

    Attributes:
        rank: number of this process, from 0.
        count: how many there are.
        device: where this process computes.
    """

    rank: int = 0
    count: int = 1
    device: torch.device | str = "cpu"

    @property
    def main(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self.rank == 0

    def share(self, whole: Sequence[Something]) -> Sequence[Something]:
        """This process's part of what all of them do; every element is in one part."""
        return whole if self.count == 1 else whole[self.rank :: self.count]

    def total(self, value: float) -> float:
        """The sum of a number over all processes, the same in each."""
        if self.count == 1:
            return value
        import torch

        # Gloo and NCCL sum tensors; fp64, so that a sum of losses loses nothing.
        return float(self._sum(torch.tensor(value, dtype=torch.float64, device=self.device)))

    def sum_gradients(self, tensors: Iterable[Tensor]) -> None:
        """Put the sum of all processes' gradients into each; one without a share has none, which counts as zero."""
        if self.count == 1:
            return
        import torch

        trained = list(tensors)
        flat = torch.cat([(torch.zeros_like(t) if t.grad is None else t.grad).flatten() for t in trained])
        parts = torch.split(self._sum(flat), [t.numel() for t in trained])
        for tensor, part in zip(trained, parts, strict=True):
            tensor.grad = part.view_as(tensor)

    def wait(self) -> None:
        """Until every process is here."""
        if self.count > 1:
            from accelerate import PartialState

            PartialState().wait_for_everyone()

    def _sum(self, tensor: Tensor) -> Tensor:
        from accelerate.utils import reduce

        summed: Tensor = reduce(tensor, reduction="sum")
        return summed


def joined(device: torch.device) -> Devices:
    """This process among those that a launcher started; the first call connects them.

    Args:
        device: where this process has its backbone; all processes have one of the same kind.
    """
    if not several():
        return Devices(device=device)
    from accelerate import PartialState

    state = PartialState(cpu=device.type != "cuda")
    return Devices(int(state.process_index), int(state.num_processes), device)


def several() -> bool:
    """Whether a launcher started more than one process."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def speaks() -> bool:
    """Whether this is the process that prints; asked before any is connected."""
    return not several() or os.environ.get("RANK", "0") == "0"


def own_device(name: str) -> str:
    """The device that this process takes where `name` is asked for: of several GPUs, the one with its number."""
    local = os.environ.get("LOCAL_RANK")
    return f"cuda:{local}" if name == "cuda" and several() and local is not None else name
