"""What a launched process of `test_devices.py` does: a run of the small task, stopped half-way and
taken up again, whose outcome it writes to a folder.

python one_of_several.py BACKBONE FOLDER
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
from tiny_task import CONFIG, DEV, EXAMPLES, Killed

from soft_prompt import Backbone, PrefixStore, TrainResult, TrainStep, initial_adapter, train


def outcome(backbone: Backbone, folder: Path, kill_at: int | None = None) -> TrainResult:
    start = replace(kv_start(backbone), adapter=initial_adapter(backbone, 2, 0))
    calls = 0

    def on_step(step: TrainStep) -> None:
        nonlocal calls
        calls += step.phase == "train"
        if calls == kill_at:
            raise Killed

    # Batches of two and of one, of which a second process has no share.
    config = replace(CONFIG, learning_rate=0.01, reparameterise=True)
    return train(PrefixStore(backbone), start, EXAMPLES, DEV, config, folder=folder / "state",
                 log=folder / "log.jsonl", on_step=on_step, keep_state=True)  # fmt: skip


def main() -> None:
    folder = Path(sys.argv[2])
    torch.set_num_threads(1)
    backbone = Backbone.load(sys.argv[1], dtype=torch.float32)
    # All of them at the same step, as when a machine stops.
    with suppress(Killed):
        outcome(backbone, folder, kill_at=5)
    result = outcome(backbone, folder)
    rank = os.environ["RANK"]
    save_file(result.soft_prompt.tensors(), folder / f"{rank}.safetensors")
    told = {"losses": result.losses, "dev_loss": result.dev_loss, "processes": result.processes,
            "resumed": result.resumed}  # fmt: skip
    (folder / f"{rank}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main()
