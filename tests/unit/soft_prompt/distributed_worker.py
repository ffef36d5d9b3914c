"""One process of `test_distributed.py`: interrupts a run of the small task, resumes it and writes the result to a
folder.

python distributed_worker.py BACKBONE FOLDER
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch
from kv_task import kv_start
from safetensors.torch import save_file
from tiny_task import DEV, EXAMPLES, Killed, configured

from soft_prompt import Backbone, PrefixStore, TrainResult, TrainStep, initial_adapter, train


def train_small_task(backbone: Backbone, folder: Path, kill_at: int | None = None) -> TrainResult:
    start = replace(kv_start(backbone), adapter=initial_adapter(backbone, 2, 0))
    calls = 0

    def on_step(step: TrainStep) -> None:
        nonlocal calls
        calls += step.phase == "train"
        if calls == kill_at:
            raise Killed

    # Batches of two and of one. The second process has an empty shard of the latter.
    config = configured(learning_rate=0.01)
    return train(PrefixStore(backbone), start, EXAMPLES, DEV, config, folder=folder / "state",
                 log=folder / "log.jsonl", on_step=on_step, keep_state=True)  # fmt: skip


def main() -> None:
    folder = Path(sys.argv[2])
    torch.set_num_threads(1)
    backbone = Backbone.load(sys.argv[1], dtype=torch.float32)
    # All processes stop at the same step, as if the machine stopped.
    with suppress(Killed):
        train_small_task(backbone, folder, kill_at=5)
    result = train_small_task(backbone, folder)
    rank = os.environ["RANK"]
    save_file(result.soft_prompt.tensors(), folder / f"{rank}.safetensors")
    summary = {"losses": result.losses, "dev_loss": result.dev_loss, "processes": result.processes,
            "resumed": result.resumed}  # fmt: skip
    (folder / f"{rank}.json").write_text(json.dumps(summary))


if __name__ == "__main__":
    main()
