"""Several processes train as one does. They are real ones that talk through Gloo, so they start in processes of their
own, where sockets are not blocked."""

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
from one_of_several import outcome
from safetensors.torch import load_file

from soft_prompt import Backbone
from soft_prompt.training.devices import Devices, joined, own_device, several, speaks

pytestmark = pytest.mark.heavy

PROCESSES = 2
HERE = Path(__file__).parents[1]
ROOT = HERE.parents[2]


def launch(backbone: Path, folder: Path, *, port: int) -> None:
    """What a launcher does: start the processes and name them in the environment."""
    command = [sys.executable, str(HERE / "one_of_several.py"), str(backbone), str(folder)]
    shared = {**os.environ, "WORLD_SIZE": str(PROCESSES), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
              "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}  # fmt: skip
    started = [
        subprocess.Popen(command, env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}, stderr=subprocess.PIPE)
        for rank in range(PROCESSES)
    ]
    said = [process.communicate(timeout=120)[1].decode() for process in started]
    assert [process.returncode for process in started] == [0] * PROCESSES, said


def told(folder: Path, rank: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / f"{rank}.json").read_text())
    return found


@pytest.mark.enable_socket
def test_two_processes_end_where_one_does_and_a_killed_run_goes_on(tmp_path: Path, tiny_backbone: Backbone) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    backbone, folder = tmp_path / "backbone", tmp_path / "two"
    tiny_backbone.model.save_pretrained(backbone)
    tiny_backbone.tokenizer.save_pretrained(backbone)
    alone = outcome(Backbone.load(str(backbone), dtype=torch.float32), tmp_path / "alone")
    launch(backbone, folder, port=port)
    ours = alone.soft_prompt.tensors()
    for rank in range(PROCESSES):
        found = told(folder, rank)
        assert (found["processes"], found["resumed"]) == (PROCESSES, True)
        assert found["losses"] == pytest.approx(alone.losses, abs=1e-4)
        assert found["dev_loss"] == pytest.approx(alone.dev_loss, abs=1e-4)
        theirs = load_file(folder / f"{rank}.safetensors")
        assert theirs.keys() == ours.keys()
        for name, tensor in ours.items():
            torch.testing.assert_close(theirs[name], tensor, atol=1e-3, rtol=0)
    # To the bit the same in both, or they would drift apart.
    assert (folder / "0.safetensors").read_bytes() == (folder / "1.safetensors").read_bytes()
    # One of them writes: every step has one line.
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "step" in line] == list(range(1, 10))


def test_a_single_process_is_the_main_one_and_does_everything() -> None:
    devices = joined(torch.device("cpu"))
    assert (devices.rank, devices.count, devices.main) == (0, 1, True)
    assert devices.share([1, 2, 3]) == [1, 2, 3]
    assert devices.total(1.5) == 1.5
    assert speaks()
    assert not several()
    assert own_device("cuda") == "cuda"


def test_a_single_process_imports_no_accelerate() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import torch; "
        "from soft_prompt.training.devices import joined; d = joined(torch.device('cpu')); d.total(1.0); d.wait(); "
        "d.sum_gradients([]); print('accelerate' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(ROOT)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shares_are_the_whole_and_do_not_overlap(count: int) -> None:
    parts = [list(Devices(rank, count).share(range(5))) for rank in range(count)]
    assert sorted(number for part in parts for number in part) == list(range(5))


def test_each_of_several_processes_takes_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("WORLD_SIZE", "4"), ("RANK", "3"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(name, value)
    assert [own_device(name) for name in ("cuda", "cpu", "cuda:2")] == ["cuda:1", "cpu", "cuda:2"]
    assert several()
    assert not speaks()
