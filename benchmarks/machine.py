"""What a benchmark ran on: hardware, versions, the clock, and the memory of this process."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import resource
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

SAMPLES_PER_SECOND = 20
STATUS = Path("/proc/self/status")
# What is resident of this process: all of it, memory of its own, and pages of mapped files.
KINDS = {"resident": "VmRSS", "anonymous": "RssAnon", "file": "RssFile"}


def describe_hardware(device: str, threads: int) -> dict[str, Any]:
    """What the figures are measured on."""
    cpuinfo = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*:\s*(.+)", cpuinfo.read_text()) if cpuinfo.is_file() else []
    return {
        "cpu": names[0] if names else platform.machine(),
        "cores": os.cpu_count(),
        "threads": threads,
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "device": torch.cuda.get_device_name() if device.startswith("cuda") else "cpu",
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }


def hardware_slug(hardware: dict[str, Any]) -> str:
    """A name for files: `amd-epyc-2-cores`, or that of the GPU."""
    processor = f"{hardware['cpu']} {hardware['cores']} cores" if hardware["device"] == "cpu" else hardware["device"]
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"\((r|tm)\)", "", processor.lower())).strip("-")


def describe_versions(packages: Sequence[str]) -> dict[str, str | None]:
    """Versions of Python and of packages; None for one that is not installed."""
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for name in packages:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return versions


def clock(device: torch.device) -> float:
    """Seconds, once everything that was asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


class MemorySampler:
    """Samples while it is open what of this process is resident, mapped file pages apart from memory of its own.

    The kernel keeps a peak of the sum alone (`VmHWM`), in which a cache on disk that is mapped looks like memory that
    the process holds; the kernel may take such pages back at any time. `peaks` is empty where there is no /proc.
    """

    def __init__(self) -> None:
        self.peaks: dict[str, int] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample_until_done, daemon=True)

    def __enter__(self) -> MemorySampler:
        forget_peak()
        self._sample()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        self._sample()

    def _sample_until_done(self) -> None:
        while not self._done.wait(1 / SAMPLES_PER_SECOND):
            self._sample()

    def _sample(self) -> None:
        for name, size in resident_bytes().items():
            self.peaks[name] = max(size, self.peaks.get(name, 0))


def resident_bytes() -> dict[str, int]:
    """What is resident now: `resident`, `anonymous` and `file`, in bytes; nothing where there is no /proc."""
    if not STATUS.is_file():
        return {}
    lines = dict(re.findall(r"^(\w+):\s+(\d+) kB", STATUS.read_text(), re.MULTILINE))
    return {name: int(lines[field]) * 1024 for name, field in KINDS.items() if field in lines}


def peak_resident_bytes() -> int:
    """Largest resident set since the process began, or since `forget_peak`, in bytes."""
    # On Linux getrusage starts from the peak of the process that started this one.
    if not STATUS.is_file():
        unit = 1 if platform.system() == "Darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return int(re.findall(r"VmHWM:\s+(\d+) kB", STATUS.read_text())[0]) * 1024


def forget_peak() -> None:
    """Let the kernel's peak start anew, so that it is not that of loading the model."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        # Not every system or container allows it; then the peak includes loading, for every system alike.
        return
