"""The log of a run: one JSON object per line, for every step and every epoch."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from soft_prompt.files import write_bytes
from soft_prompt.training.checkpoint import EpochScore, RunState


class TrainLog:
    """Writes the log of a run.

    The line of a step has `step` and `epoch` (both from 1), `loss` (nats per answer token), `learning_rate` (of the
    vectors), `gradient_norm` (before clipping), `examples_per_second` and `seconds` (since the start of the run, stops
    left out). The line of an epoch has `epoch` (0 is the start), `train_loss`, `dev_loss` and `seconds`.

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

    def step(self, **fields: float | int) -> None:
        """Write the line of a step."""
        self._write(fields)

    def epoch(self, score: EpochScore) -> None:
        """Write the line of an epoch."""
        self._write(asdict(score) | {"seconds": round(score.seconds, 3)})

    def _write(self, fields: dict[str, Any]) -> None:
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(fields) + "\n")


def _before_checkpoint(line: bytes, state: RunState) -> bool:
    try:
        fields = json.loads(line)
        if "step" in fields:
            return bool(fields["step"] <= state.step)
        return bool(fields["epoch"] < len(state.scores))
    except (ValueError, KeyError, TypeError):
        # The last line of a killed run may be incomplete.
        return False
