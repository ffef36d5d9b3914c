"""The free memory of a device."""

from __future__ import annotations

import os
import re
from pathlib import Path

import torch


def free_memory(device: torch.device) -> int:
    """Free bytes of a device: on CUDA as the driver reports, plus what PyTorch holds in reserve; else of RAM."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free) + int(torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
    info = Path("/proc/meminfo")
    if info.is_file() and (line := re.search(r"MemAvailable: +(\d+) kB", info.read_text(encoding="ascii"))):
        return min(int(line[1]) * 1024, _container_bytes())
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def _container_bytes() -> int:
    """Free bytes under a container's own limit, which /proc/meminfo does not show."""
    group = Path("/sys/fs/cgroup")
    try:
        limit, used = ((group / f"memory.{name}").read_text(encoding="ascii").strip() for name in ("max", "current"))
        return max(0, int(limit) - int(used))
    except (OSError, ValueError):
        # There is no such group, or its limit is "max".
        return 1 << 62
