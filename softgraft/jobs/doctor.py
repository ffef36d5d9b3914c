"""What the machine and the installation look like, and how to fix what is wrong. Loads no model."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import torch
from packaging.requirements import Requirement

from retrieval import EncoderError
from retrieval.encoders.load import PACKAGED, PackagedEncoder, embedded_name
from soft_prompt.model.backbone import fast_dtype
from soft_prompt.model.device import available_devices
from soft_prompt.model.file_digests import cache_folder, cached_sha256
from soft_prompt.model.memory import free_memory
from soft_prompt.model.weights import GGUF_SHA256, find_gguf, is_complete, prepared_path
from softgraft.jobs.findings import Finding, State, examined, folder_bytes, gibibytes

# Imported by name as well, since a broken build of one of them fails only then.
_NATIVE = ("faiss", "safetensors", "llguidance")
# Shown although they are only some of the requirements.
_SHOWN = (
    "transformers", "sentence-transformers", "faiss-cpu", "langchain", "langchain-core", "langgraph",
    "safetensors", "numpy",
)  # fmt: skip
_VARIABLES = (
    "SOFTGRAFT_CACHE", "SOFTGRAFT_NATIVE", "XDG_CACHE_HOME", "HF_HOME", "HF_HUB_OFFLINE", "OMP_NUM_THREADS",
    "PYTHONPATH",
)  # fmt: skip
# The embedded backbone takes 0.5 GiB in float32, and the encoder and Python about as much.
_LOW_MEMORY, _NEEDED_MEMORY = 2 * 2**30, 2**30
_LOW_DISK, _NEEDED_DISK = 2 * 2**30, 2**29


def examine(domain: Path | None = None) -> list[Finding]:
    """What was found on this machine and, if its folder is given, in a domain."""
    findings = [*_machine(), *_packages(), *_weights()]
    if domain is None:
        return findings
    # Imports Transformers, which takes longer than all the rest.
    from softgraft.jobs.domain_doctor import examine_domain

    return findings + examine_domain(domain)


def _machine() -> Iterator[Finding]:
    yield Finding("python", f"{platform.python_version()} ({sys.executable})")
    yield Finding("platform", f"{platform.platform()}, {os.cpu_count()} cores")
    cuda = torch.version.cuda or torch.version.hip
    yield Finding(
        "torch",
        f"{torch.__version__}, {torch.get_num_threads()} threads, "
        + (f"built for {'CUDA' if torch.version.cuda else 'ROCm'} {cuda}" if cuda else "built without CUDA"),
    )
    yield _device()
    yield Finding("dtype", _dtype("cpu"))
    yield _memory()
    yield from _cache()
    set_variables = [f"{name}={os.environ[name]}" for name in _VARIABLES if name in os.environ]
    yield Finding("environment", ", ".join(set_variables) or "no variable that Softgraft reads is set")


def _device() -> Finding:
    devices = available_devices()
    if devices == ["cpu"]:
        return Finding("device", "cpu; no GPU that this PyTorch can use")
    names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    faster = f"set `device: {devices[0]}` in domain.yaml to use it; the default is cpu"
    return Finding("device", f"{', '.join(devices)}" + (f" ({', '.join(names)})" if names else ""), "note", faster)


def _dtype(device: str) -> str:
    if fast_dtype(device) == torch.bfloat16:
        return "`dtype: auto` is bfloat16 on cpu: this processor computes in it (AVX-512 or AMX)"
    return (
        "`dtype: auto` is float32 on cpu: this processor has no AVX-512 for bfloat16 and would emulate it, "
        "which is six times slower"
    )


def _memory() -> Finding:
    free = free_memory(torch.device("cpu"))
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else free
    value = f"{gibibytes(free)} free of {gibibytes(total)}"
    if free < _NEEDED_MEMORY:
        return Finding("memory", value, "broken", "close other programs; the embedded models need 1 GiB")
    if free < _LOW_MEMORY:
        return Finding("memory", value, "note", "close other programs, or lower `cache: memory_mib` in domain.yaml")
    return Finding("memory", value)


def _cache() -> Iterator[Finding]:
    folder = cache_folder()
    elsewhere = "choose another folder: export SOFTGRAFT_CACHE=FOLDER"
    existing = next(place for place in (folder, *folder.parents) if place.is_dir())
    free = shutil.disk_usage(existing).free
    state: State = "broken" if free < _NEEDED_DISK else "note" if free < _LOW_DISK else "ok"
    fix = None if state == "ok" else f"free some space, or {elsewhere}"
    yield Finding("disk", f"{gibibytes(free)} free at {existing}", state, fix)
    if not _is_writable(existing):
        yield Finding("cache", f"{folder} cannot be written", "broken", elsewhere)
        return
    yield Finding("cache", f"{folder}, {gibibytes(folder_bytes(folder)) if folder.is_dir() else 'not made yet'}")


def _is_writable(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _packages() -> Iterator[Finding]:
    for name in _SHOWN:
        if (installed := _version(name)) is not None:
            yield Finding(name, installed)
    yield from _requirements()
    for module in _NATIVE:
        try:
            importlib.import_module(module)
        except (ImportError, OSError) as error:
            line = (str(error).splitlines() or [type(error).__name__])[0]
            yield Finding(module, f"does not import: {line}", "broken", f"pip install --force-reinstall {module}")


def _requirements() -> Iterator[Finding]:
    """Requirements that are missing or have another version."""
    try:
        listed = requires("softgraft") or []
    except PackageNotFoundError:
        yield Finding("softgraft", "runs from its source folder and is not installed", "note", "pip install -e .")
        return
    for requirement in map(Requirement, listed):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        installed = _version(requirement.name)
        if installed is None or not requirement.specifier.contains(installed, prereleases=True):
            yield Finding(
                requirement.name,
                f"{installed or 'not installed'}; expected {requirement.specifier}",
                "broken",
                f"pip install '{requirement.name}{requirement.specifier}'",
            )


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _weights() -> list[Finding]:
    encoders = [examined(f"encoder {name}", partial(_encoder, name, packaged)) for name, packaged in PACKAGED.items()]
    return [examined("backbone", _backbone), *encoders]


def _backbone() -> Finding:
    path = find_gguf()
    value = f"{path.name}, sha256 {GGUF_SHA256[:16]}, as expected"
    target = prepared_path()
    if not is_complete(target):
        return Finding("backbone", f"{value}; not unpacked yet", "note", "the first question does it, in about 20 s")
    return Finding("backbone", f"{value}; unpacked in {target} ({gibibytes(folder_bytes(target))})")


def _encoder(name: str, packaged: PackagedEncoder) -> Finding:
    path, is_default = packaged.find(), name == embedded_name()
    default = ", the default" if is_default else ""
    if path is None:
        return Finding(
            f"encoder {name}", f"{packaged.title}: not installed", "broken" if is_default else "note", packaged.install
        )
    digest = cached_sha256([path])[path]
    if digest != packaged.sha256:
        raise EncoderError(
            found=f"{path} has the SHA-256 {digest[:16]}",
            expected=packaged.sha256[:16],
            next_step=f"{packaged.install} --force-reinstall --no-deps",
        )
    return Finding(f"encoder {name}", f"{packaged.title}{default}, sha256 {digest[:16]}, as expected")
