"""The servers of `serving.py`, each a process of its own."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self
from urllib.error import URLError
from urllib.request import urlopen

from benchmarks.script import ROOT

_START_SECONDS = 300
_LINE = re.compile(r"POST /v1/chat/completions (\d+) ([\d.]+)s")


class Process:
    """A server process. `ready_seconds` is the time from its start until it says that it is ready."""

    def __init__(self, command: Sequence[str | Path], log: Path, address: str, ready: str, threads: int) -> None:
        self.log, self._ready, self.address = log, ready, address
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT), **_OFFLINE}
        # A pipe that nobody reads would stop the server when it is full.
        with log.open("w") as output:
            self._process = subprocess.Popen(
                list(map(str, command)), stdout=output, stderr=subprocess.STDOUT, cwd=ROOT, env=environment
            )
        self.ready_seconds = 0.0

    def __enter__(self) -> Self:
        start = time.perf_counter()
        while not self._is_ready():
            if self._process.poll() is not None or time.perf_counter() - start > _START_SECONDS:
                self._process.kill()
                raise SystemExit(f"a server did not start. Expected: {self.address}. Next: read {self.log}")
            time.sleep(0.1)
        self.ready_seconds = time.perf_counter() - start
        return self

    def _is_ready(self) -> bool:
        try:
            with urlopen(f"{self.address}{self._ready}", timeout=5) as response:
                return bool(response.status == 200)
        except (URLError, OSError):
            return False

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def usage(self) -> dict[str, int]:
        """Resident memory in bytes and open files of the process; empty if there is no /proc."""
        folder = Path("/proc") / str(self._process.pid)
        if not folder.is_dir():
            return {}
        pages = int((folder / "statm").read_text(encoding="ascii").split()[1])
        return {"resident_bytes": pages * os.sysconf("SC_PAGE_SIZE"), "open_files": len([*(folder / "fd").iterdir()])}

    def log_size(self) -> int:
        """Where the log ends now."""
        return self.log.stat().st_size

    def logged_seconds(self, start: int) -> dict[int, list[float]]:
        """Status -> the seconds that the server logged for each chat request after a place of the log."""
        with self.log.open("rb") as log:
            log.seek(start)
            lines = _LINE.findall(log.read().decode(errors="replace"))
        found: dict[int, list[float]] = {}
        for status, seconds in lines:
            found.setdefault(int(status), []).append(float(seconds))
        return found


def softgraft_server(folders: Sequence[Path], work: Path, threads: int, limits: Mapping[str, int]) -> Process:
    """`softgraft serve` for the domains, with its limits, such as `running`."""
    port = _free_port()
    options = [part for name, value in limits.items() for part in (f"--{name}", str(value))]
    command: list[str | Path] = [
        sys.executable,
        "-P",
        "-m",
        "softgraft",
        "serve",
        *folders,
        "--port",
        str(port),
        *options,
    ]
    return Process(command, work / "softgraft.log", f"http://127.0.0.1:{port}", "/readyz", threads)


def vllm_server(python: Path, model: Path, dtype: str, work: Path, threads: int) -> Process:
    """vLLM's own server for the plain backbone, as the model `plain`."""
    port = _free_port()
    command: list[str | Path] = [
        python, "-m", "vllm.entrypoints.openai.api_server", "--model", model, "--served-model-name", "plain",
        "--dtype", dtype, "--max-model-len", "2048", "--port", str(port), "--host", "127.0.0.1", "--seed", "0",
    ]  # fmt: skip
    return Process(command, work / "vllm.log", f"http://127.0.0.1:{port}", "/health", threads)


_OFFLINE = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "VLLM_CPU_KVCACHE_SPACE": "4"}


def vllm_version(python: Path) -> str:
    """Version of vLLM's CPU build in an environment."""
    code = "import importlib.metadata as m; print(m.version('vllm-cpu'))"
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port
