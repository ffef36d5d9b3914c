"""Several processes train as one does. The tests start real processes, which communicate through Gloo sockets."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from distributed_worker import train_small_task
from safetensors.torch import load_file

from soft_prompt import Backbone
from soft_prompt.training.distributed import (
    DistributedContext,
    init_distributed,
    is_distributed,
    is_main_process,
    local_device,
)

pytestmark = pytest.mark.heavy

PROCESSES = 2
HERE = Path(__file__).parents[1]
ROOT = HERE.parents[2]


def launch(backbone: Path, folder: Path, *, port: int) -> None:
    """Start the processes with their environment variables, as a launcher does."""
    command = [sys.executable, str(HERE / "distributed_worker.py"), str(backbone), str(folder)]
    shared = {**os.environ, "WORLD_SIZE": str(PROCESSES), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
              "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}  # fmt: skip
    started = [
        subprocess.Popen(command, env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}, stderr=subprocess.PIPE)
        for rank in range(PROCESSES)
    ]
    errors = [process.communicate(timeout=120)[1].decode() for process in started]
    assert [process.returncode for process in started] == [0] * PROCESSES, errors


def summary(folder: Path, rank: int) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((folder / f"{rank}.json").read_text())
    return result


@pytest.mark.slow
@pytest.mark.enable_socket
def test_two_processes_give_the_result_of_one_and_resume_a_killed_run(tmp_path: Path, tiny_backbone: Backbone) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    backbone, folder = tmp_path / "backbone", tmp_path / "two"
    tiny_backbone.model.save_pretrained(backbone)
    tiny_backbone.tokenizer.save_pretrained(backbone)
    alone = train_small_task(Backbone.load(str(backbone), dtype=torch.float32), tmp_path / "alone")
    launch(backbone, folder, port=port)
    ours = alone.soft_prompt.tensors()
    for rank in range(PROCESSES):
        result = summary(folder, rank)
        assert (result["processes"], result["resumed"]) == (PROCESSES, True)
        assert result["losses"] == pytest.approx(alone.losses, abs=1e-4)
        assert result["dev_loss"] == pytest.approx(alone.dev_loss, abs=1e-4)
        theirs = load_file(folder / f"{rank}.safetensors")
        assert theirs.keys() == ours.keys()
        for name, tensor in ours.items():
            torch.testing.assert_close(theirs[name], tensor, atol=1e-3, rtol=0)
    # Both have the same bits; otherwise they would drift apart.
    assert (folder / "0.safetensors").read_bytes() == (folder / "1.safetensors").read_bytes()
    # Only one of them writes: every step has one line.
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "step" in line] == list(range(1, 10))


def test_a_single_process_is_the_main_one_and_has_every_item() -> None:
    context = init_distributed(torch.device("cpu"))
    assert (context.rank, context.world_size, context.is_main_process) == (0, 1, True)
    assert context.shard([1, 2, 3]) == [1, 2, 3]
    assert context.sum(1.5) == 1.5
    assert is_main_process()
    assert not is_distributed()
    assert local_device("cuda") == "cuda"


def test_a_single_process_imports_no_accelerate() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import torch; "
        "from soft_prompt.training.distributed import init_distributed; "
        "d = init_distributed(torch.device('cpu')); d.sum(1.0); d.barrier(); "
        "d.sum_gradients([]); print('accelerate' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(ROOT)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_every_item_is_in_one_shard(count: int) -> None:
    parts = [list(DistributedContext(rank, count).shard(range(5))) for rank in range(count)]
    assert sorted(number for part in parts for number in part) == list(range(5))


def test_each_process_takes_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("WORLD_SIZE", "4"), ("RANK", "3"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(name, value)
    assert [local_device(name) for name in ("cuda", "cpu", "cuda:2")] == ["cuda:1", "cpu", "cuda:2"]
    assert is_distributed()
    assert not is_main_process()
