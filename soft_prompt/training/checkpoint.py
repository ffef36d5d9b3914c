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

from soft_prompt.errors import TrainingError
from soft_prompt.files import write_bytes

FILE = "checkpoint.safetensors"
FORMAT = "2"


@dataclass(frozen=True)
class EpochScore:
    """Mean losses of one epoch, in nats per answer token. Epoch 0 is the start, which has no `train_loss`."""

    epoch: int
    train_loss: float | None
    dev_loss: float
    seconds: float


@dataclass
class RunState:
    """Everything that a run needs to resume, besides its tensors.

    Attributes:
        epoch: the current epoch, from 0.
        batches_done: batches of the current epoch that are done.
        step: optimiser steps that are done.
        best_loss: the lowest dev loss so far.
        best_epoch: finished epochs when the dev loss was lowest; 0 is the start.
        epochs_without_gain: epochs since then.
        epoch_loss, epoch_tokens: running sums of the current epoch.
        micro_batch: examples per forward pass, as chosen at the start or after memory ran out; 0 before that.
        losses: the loss of every step.
        seconds: time spent so far.
    """

    epoch: int = 0
    batches_done: int = 0
    step: int = 0
    best_loss: float = float("inf")
    best_epoch: int = 0
    epochs_without_gain: int = 0
    epoch_loss: float = 0.0
    epoch_tokens: int = 0
    micro_batch: int = 0
    losses: list[float] = field(default_factory=list)
    scores: list[EpochScore] = field(default_factory=list)
    seconds: float = 0.0


def save_checkpoint(folder: Path, fingerprint: str, state: RunState, tensors: Mapping[str, Tensor]) -> None:
    """Write the state of a run. `fingerprint` identifies the run."""
    folder.mkdir(parents=True, exist_ok=True)
    cpu_tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    state_json = json.dumps(asdict(state))
    metadata = {
        "format": FORMAT,
        "fingerprint": fingerprint,
        "state": state_json,
        "digest": _digest(FORMAT + state_json, cpu_tensors),
    }
    write_bytes(folder / FILE, save(cpu_tensors, metadata))


def load_checkpoint(folder: Path, fingerprint: str) -> tuple[RunState, dict[str, Tensor]] | None:
    """The state of this run, or None if there is no checkpoint or if it belongs to another run.

    A damaged checkpoint counts as none: a run from the start gives the same result, only later.

    Raises:
        TrainingError: if an earlier version of Softgraft wrote the checkpoint.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        file_format, state_json = metadata.get("format", ""), metadata["state"]
        if metadata["digest"] != _digest(file_format + state_json, tensors):
            return None
        if file_format != FORMAT:
            raise TrainingError(
                found=f"{path} is the checkpoint of an unfinished run of another version of Softgraft",
                expected="no checkpoint, or one of this version",
                next_step=f"delete {path} to train from the start, or finish the run with that version",
            )
        if metadata["fingerprint"] != fingerprint:
            return None
        raw = json.loads(state_json)
        raw["scores"] = [EpochScore(**score) for score in raw["scores"]]
        return RunState(**raw), tensors
    except (SafetensorError, ValueError, KeyError, TypeError):
        return None


def remove_checkpoint(folder: Path) -> None:
    """Delete the checkpoint of a run."""
    (folder / FILE).unlink(missing_ok=True)


def _digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode() + tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
