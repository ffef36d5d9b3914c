"""What a benchmark runs on (hardware and versions), its clock, and the memory of this process."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import resource
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

SAMPLES_PER_SECOND = 20
STATUS = Path("/proc/self/status")
# Resident memory in total, anonymous memory, and pages of mapped files.
MEMORY_FIELDS = {"resident": "VmRSS", "anonymous": "RssAnon", "file": "RssFile"}


def describe_hardware(device: str, threads: int) -> dict[str, Any]:
    """Processor, memory and device that the figures are measured on."""
    import torch

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


def hardware_slug(hardware: Mapping[str, Any]) -> str:
    """The hardware as part of a file name: `amd-epyc-2-cores`, or the GPU's name."""
    processor = f"{hardware['cpu']} {hardware['cores']} cores" if hardware["device"] == "cpu" else hardware["device"]
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"\((r|tm)\)", "", processor.lower())).strip("-")


def describe_versions(packages: Sequence[str]) -> dict[str, str | None]:
    """Versions of Python and of packages; None if a package is not installed."""
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for name in packages:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return versions


def clock(device: torch.device) -> float:
    """Seconds, after all work queued on the device has finished."""
    if device.type == "cuda":
        import torch

        torch.cuda.synchronize(device)
    return time.perf_counter()


class MemorySampler:
    """Samples the resident memory of this process, with pages of mapped files separate from anonymous memory.

    The kernel keeps a peak of the sum only (`VmHWM`). There a mapped cache on disk looks like memory that the process
    holds, although the kernel may take those pages back at any time. `peaks` is empty if there is no /proc.
    """

    def __init__(self) -> None:
        self.peaks: dict[str, int] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample_until_done, daemon=True)

    def __enter__(self) -> MemorySampler:
        reset_peak()
        self.sample()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        self.sample()

    def sample(self) -> None:
        """Update the peaks now."""
        for name, size in resident_bytes().items():
            self.peaks[name] = max(size, self.peaks.get(name, 0))

    def _sample_until_done(self) -> None:
        while not self._done.wait(1 / SAMPLES_PER_SECOND):
            self.sample()


def resident_bytes() -> dict[str, int]:
    """Current `resident`, `anonymous` and `file` memory in bytes; empty if there is no /proc."""
    if not STATUS.is_file():
        return {}
    lines = dict(re.findall(r"^(\w+):\s+(\d+) kB", STATUS.read_text(), re.MULTILINE))
    return {name: int(lines[field]) * 1024 for name, field in MEMORY_FIELDS.items() if field in lines}


def peak_resident_bytes() -> int:
    """Peak resident memory in bytes since the process started, or since `reset_peak`."""
    # On Linux, getrusage starts from the peak of the parent process.
    if not STATUS.is_file():
        unit = 1 if platform.system() == "Darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return int(re.findall(r"VmHWM:\s+(\d+) kB", STATUS.read_text())[0]) * 1024


def reset_peak() -> None:
    """Reset the kernel's peak, so that it does not include loading the model."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        # Not every system or container allows it. The peak then includes loading, for every system alike.
        return
