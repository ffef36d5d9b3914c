"""Compiles the kernels once per machine, and loads them.

They are optional: without a C compiler the engine computes attention in PyTorch. `SOFTGRAFT_NATIVE=0` does so too.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import stat
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import torch

from soft_prompt.model.file_digests import cache_folder
from soft_prompt.private_files import private_folder

_SOURCES = ("kernels.c", "kernels_body.h")
# -march=native: the file is for this machine alone. -ffast-math: sums in any order, no infinities are used.
_FLAGS = ("-O3", "-march=native", "-ffast-math", "-fPIC", "-fopenmp")
_SECONDS = 120


@cache
def native_library() -> ctypes.CDLL | None:
    """The compiled kernels; None if they are switched off, without a compiler, or if they do not compile or load."""
    if os.environ.get("SOFTGRAFT_NATIVE") == "0":
        return None
    compiler = shutil.which(os.environ.get("CC", "cc"))
    openmp = sorted((Path(torch.__file__).parent / "lib").glob("libgomp*.so*"))
    if compiler is None or not openmp:
        return None
    try:
        library = _compiled(compiler)
        # The kernels take PyTorch's OpenMP. One of their own would compete with it for the cores.
        ctypes.CDLL(str(openmp[0]), mode=ctypes.RTLD_GLOBAL)
        return _load(library)
    except (OSError, subprocess.SubprocessError):
        return None


def _compiled(compiler: str) -> Path:
    folder, here = cache_folder() / "native", Path(__file__).parent
    target = folder / f"kernels-{_identity(compiler, here)}.so"
    if not _is_ours(target):
        private_folder(folder)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            compiled, linked = Path(scratch) / "kernels.o", Path(scratch) / "kernels.so"
            for command in (
                [compiler, *_FLAGS, "-c", str(here / _SOURCES[0]), "-o", str(compiled)],
                [compiler, "-shared", str(compiled), "-o", str(linked), "-lm"],
            ):
                subprocess.run(command, check=True, capture_output=True, timeout=_SECONDS)
            linked.chmod(0o700)
            linked.replace(target)
    return target


def _identity(compiler: str, here: Path) -> str:
    """Changes with the source, the flags, the compiler and the processor."""
    version = subprocess.run([compiler, "--version"], check=True, capture_output=True, timeout=_SECONDS).stdout
    processor = Path("/proc/cpuinfo")
    lines = processor.read_text(encoding="utf-8", errors="replace").splitlines() if processor.is_file() else []
    about = "\n".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))
    digest = hashlib.sha256(version + about.encode() + " ".join(_FLAGS).encode())
    for name in _SOURCES:
        digest.update((here / name).read_bytes())
    return digest.hexdigest()[:24]


def _load(library: Path) -> ctypes.CDLL:
    """Load the file that was checked, whatever stands at its path by then."""
    descriptor = os.open(library, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        if not _is_own(os.fstat(descriptor)):
            raise PermissionError(1, "a library that other users can write", str(library))
        opened = Path(f"/proc/self/fd/{descriptor}")
        return ctypes.CDLL(str(opened if opened.exists() else library))
    finally:
        os.close(descriptor)


def _is_ours(library: Path) -> bool:
    """Whether it exists, belongs to this user, and nobody else could have written it."""
    try:
        return _is_own(library.lstat())
    except OSError:
        return False


def _is_own(found: os.stat_result) -> bool:
    others = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISREG(found.st_mode) and found.st_uid == os.getuid() and not others
