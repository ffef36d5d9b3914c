"""The state of a training run in one file, written atomically, and the log of the run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from soft_prompt.errors import TrainingError
from soft_prompt.files import write_bytes
from soft_prompt.json_text import dump_json

FILE = "checkpoint.safetensors"
FORMAT = "2"
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class EpochScore:
    """Mean losses, in nats per answer token, after an epoch. Epoch 0 is the start, which has no `train_loss`.

    `train_loss` is the mean since the last score.
    """

    epoch: int
    train_loss: float | None
    dev_loss: float
    seconds: float


@dataclass
class RunState:
    """Everything that a run needs to resume, besides its tensors.

    Attributes:
        epoch: number of finished epochs.
        batches_done: number of finished batches of the next one.
        step: number of finished optimiser steps.
        best_loss, best_epoch: the lowest dev loss so far, and the number of epochs finished then; 0 is the start.
        epochs_without_gain: number of scores since then.
        epoch_loss, epoch_tokens: summed loss and answer tokens since the last score.
        micro_batch: examples per forward pass, as chosen at the start or after memory ran out; 0 before that.
        losses: the loss of every step.
        domain_accuracies: for `adversarial`: accuracy of the domain classifier in every step.
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
    domain_accuracies: list[float] = field(default_factory=list)
    scores: list[EpochScore] = field(default_factory=list)
    seconds: float = 0.0


def save_checkpoint(folder: Path, fingerprint: str, state: RunState, tensors: Mapping[str, Tensor]) -> None:
    """Write the state of a run. `fingerprint` identifies the run."""
    folder.mkdir(parents=True, exist_ok=True)
    cpu_tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    state_json = json.dumps(asdict(state))
    digest = _digest(FORMAT + state_json, cpu_tensors)
    metadata = {"format": FORMAT, "fingerprint": fingerprint, "state": state_json, "digest": digest}
    write_bytes(folder / FILE, save(cpu_tensors, metadata))


def load_checkpoint(folder: Path, fingerprint: str) -> tuple[RunState, dict[str, Tensor]] | None:
    """The state of this run, or None if there is no checkpoint or if it belongs to another run.

    A damaged checkpoint counts as none: a run from the start gives the same result, only later.

    Raises:
        TrainingError: if another version of Softgraft wrote the checkpoint.
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
        state = TypeAdapter(RunState).validate_python(json.loads(state_json))
        return (state, tensors) if metadata["fingerprint"] == fingerprint else None
    except (SafetensorError, ValueError, KeyError, TypeError):
        return None


def remove_checkpoint(folder: Path) -> None:
    """Delete the checkpoint of a run."""
    (folder / FILE).unlink(missing_ok=True)


def optimiser_tensors(by_name: Mapping[str, Tensor], optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Trained tensors and AdamW's moments, by name, as a checkpoint stores them."""
    tensors = {f"trained.{name}": tensor for name, tensor in by_name.items()}
    for name, tensor in by_name.items():
        tensors |= {f"{key}.{name}": moment for key, moment in optimizer.state.get(tensor, {}).items()}
    return tensors


def restore_optimiser(
    by_name: Mapping[str, Tensor], optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]
) -> None:
    """Restore what `optimiser_tensors` returned; the optimiser has the tensors in the order of `by_name`."""
    moments: dict[int, dict[str, Tensor]] = {}
    for number, (name, tensor) in enumerate(by_name.items()):
        with torch.no_grad():
            tensor.copy_(tensors[f"trained.{name}"])
        if f"exp_avg.{name}" in tensors:
            moments[number] = {key: tensors[f"{key}.{name}"] for key in _MOMENTS}
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": moments, "param_groups": groups})


def _digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode() + tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


class TrainLog:
    """The log of a run: one JSON object per line, for every step and every epoch (see docs/artifact.md).

    Args:
        path: of the file; None writes nothing.
        state: of the run. Lines that a killed run wrote after its last checkpoint are removed.
        resumed: whether the run resumes; a new run starts a new file.
    """

    def __init__(self, path: Path | None, state: RunState, *, resumed: bool) -> None:
        self._path = path
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_bytes().split(b"\n") if resumed and path.is_file() else []
        write_bytes(path, b"".join(line + b"\n" for line in lines if _before_checkpoint(line, state)))

    def write(self, fields: Mapping[str, Any], seconds: float) -> None:
        """Write the line of a step or an epoch; `seconds` is the time since the start of the run, stops left out."""
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(dump_json({**fields, "seconds": round(seconds, 3)}) + "\n")


def _before_checkpoint(line: bytes, state: RunState) -> bool:
    try:
        fields = json.loads(line)
        scored = {score.epoch for score in state.scores}
        return bool(fields["step"] <= state.step if "step" in fields else fields["epoch"] in scored)
    except (ValueError, KeyError, TypeError):
        # The last line of a killed run may be incomplete.
        return False
