"""Training in several processes: each computes its share of every batch, and gradients are summed.

A launcher (`torchrun`, or `accelerate launch` on GPUs) starts the processes and describes them in environment
variables. A single process does not import Accelerate.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

# The command line asks for the rank before torch is loaded.
if TYPE_CHECKING:
    import torch
    from torch import Tensor

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DistributedContext:
    """This process, which has the number `rank`, among the `world_size` processes of the run."""

    rank: int = 0
    world_size: int = 1
    device: torch.device | str = "cpu"

    @property
    def is_main_process(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def shard(self, items: Sequence[T]) -> Sequence[T]:
        """The items that this process works on; every item is in the shard of one process."""
        return items if self.world_size == 1 else items[self.rank :: self.world_size]

    def sum(self, value: float) -> float:
        """Sum a number over all processes; all of them get the same result."""
        if self.world_size == 1:
            return value
        import torch

        # Gloo and NCCL sum tensors. fp64 keeps the sum of losses exact.
        return float(_all_reduce(torch.tensor(value, dtype=torch.float64, device=self.device)))

    def gather(self, own: Sequence[float], total: int) -> list[float]:
        """The numbers of all `total` items in order, from those of each process's shard."""
        if self.world_size == 1:
            return list(own)
        import torch

        values = torch.zeros(total, dtype=torch.float64)
        values[self.rank :: self.world_size] = torch.tensor(own, dtype=torch.float64)
        gathered: list[float] = _all_reduce(values.to(self.device)).tolist()
        return gathered

    def sum_gradients(self, tensors: Iterable[Tensor]) -> None:
        """Replace gradients by their sum over all processes. A process with an empty shard adds zeros."""
        if self.world_size == 1:
            return
        import torch

        trained = list(tensors)
        flat = torch.cat([(torch.zeros_like(t) if t.grad is None else t.grad).flatten() for t in trained])
        parts = torch.split(_all_reduce(flat), [t.numel() for t in trained])
        for tensor, part in zip(trained, parts, strict=True):
            tensor.grad = part.view_as(tensor)

    def barrier(self) -> None:
        """Wait until every process is here."""
        if self.world_size > 1:
            from accelerate import PartialState

            PartialState().wait_for_everyone()


def _all_reduce(tensor: Tensor) -> Tensor:
    from accelerate.utils import reduce

    total: Tensor = reduce(tensor, reduction="sum")
    return total


def init_distributed(device: torch.device) -> DistributedContext:
    """Connect this process, whose backbone is on `device`, with the others that the launcher started."""
    if not is_distributed():
        return DistributedContext(device=device)
    from accelerate import PartialState

    state = PartialState(cpu=device.type != "cuda")
    return DistributedContext(int(state.process_index), int(state.num_processes), device)


def is_distributed() -> bool:
    """Whether a launcher started more than one process."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_main_process() -> bool:
    """Whether this process prints. Needs no connection to the others."""
    return not is_distributed() or os.environ.get("RANK", "0") == "0"


def local_device(name: str) -> str:
    """The device of this process: with `cuda` and several processes, the GPU with the process's local rank."""
    local_rank = os.environ.get("LOCAL_RANK")
    return f"cuda:{local_rank}" if name == "cuda" and is_distributed() and local_rank is not None else name
