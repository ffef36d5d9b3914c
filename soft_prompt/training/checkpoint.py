"""The state of a training run in one file, written atomically."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from soft_prompt.files import write_bytes

FILE = "checkpoint.safetensors"


@dataclass(frozen=True)
class EpochScore:
    """What one epoch came to. `train_loss` and `dev_loss` are mean cross entropy an answer token, in nats."""

    epoch: int
    train_loss: float | None
    dev_loss: float | None
    seconds: float


@dataclass
class RunState:
    """Everything that decides how a run goes on.

    Attributes:
        epoch: the current epoch, from 0.
        cursor: batches of it that are done.
        step: optimiser steps that are done.
        best_epoch: number of finished epochs when `best` was taken; 0 is the start.
        bad_epochs: finished epochs since then without a better score.
        epoch_loss, epoch_tokens: running sums of the current epoch.
        micro_batch: examples that run at once, as chosen when the run began or after memory ran out; 0 before that.
        losses: the loss of every step.
        seconds: time spent before this process.
    """

    epoch: int = 0
    cursor: int = 0
    step: int = 0
    best_loss: float = float("inf")
    best_epoch: int = 0
    bad_epochs: int = 0
    epoch_loss: float = 0.0
    epoch_tokens: int = 0
    micro_batch: int = 0
    losses: list[float] = field(default_factory=list)
    scores: list[EpochScore] = field(default_factory=list)
    seconds: float = 0.0


def save_checkpoint(folder: Path, fingerprint: str, state: RunState, tensors: Mapping[str, Tensor]) -> None:
    """Write the run's state. `fingerprint` says which run it belongs to."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    metadata = {"fingerprint": fingerprint, "state": json.dumps(asdict(state))}
    write_bytes(folder / FILE, save(whole, {**metadata, "digest": _digest(metadata["state"], whole)}))


def load_checkpoint(folder: Path, fingerprint: str) -> tuple[RunState, dict[str, Tensor]] | None:
    """The state of this run, or None where there is none or it belongs to another run.

    A checkpoint that cannot be read counts as none: a run from the start gives the same result, later.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("fingerprint") != fingerprint:
                return None
            raw = json.loads(metadata["state"])
            raw["scores"] = [EpochScore(**score) for score in raw["scores"]]
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if metadata["digest"] != _digest(metadata["state"], tensors):
                return None
            return RunState(**raw), tensors
    except (SafetensorError, ValueError, KeyError, TypeError):
        return None


def _digest(state: str, tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(state.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode() + tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def remove_checkpoint(folder: Path) -> None:
    """Forget a finished run."""
    (folder / FILE).unlink(missing_ok=True)
