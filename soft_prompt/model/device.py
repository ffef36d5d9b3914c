"""The device of a backbone, checked before any weights are read."""

from __future__ import annotations

import difflib

import torch

from soft_prompt.errors import BackboneError

# Names that other programs use for a graphics card.
_GPU_NAMES = ("gpu", "nvidia", "rocm", "hip", "amd", "metal", "apple")
_PYTORCH = "https://pytorch.org/get-started/locally"


def require_device(name: str) -> torch.device:
    """The PyTorch device of this name, such as `cpu`, `cuda`, `cuda:1` or `mps`.

    Raises:
        BackboneError: if PyTorch has no such device, or none on this machine.
    """
    try:
        device = torch.device(name)
    except (RuntimeError, ValueError) as error:
        raise _unknown(name) from error
    if device.type == "cuda":
        _require_cuda(name, device.index)
    elif device.type == "mps" and not torch.backends.mps.is_available():
        raise _error(name, "this machine or this PyTorch has no Metal (MPS), Apple's interface to its graphics card")
    elif device.type == "meta":
        raise _error(name, "it holds no weights")
    elif device.type not in ("cpu", "cuda", "mps"):
        _require_working(name, device)
    return device


def available_devices() -> list[str]:
    """The devices that a backbone can use on this machine, the fastest kind first."""
    cuda = [f"cuda:{number}" for number in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    # `cuda` is the first one.
    return [*(["cuda"] if cuda else []), *cuda[1:], *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]


def _require_cuda(name: str, index: int | None) -> None:
    if not torch.cuda.is_available():
        built = torch.version.cuda or torch.version.hip
        if built is None:
            raise _error(name, f"this PyTorch ({torch.__version__}) is built without CUDA", install=True)
        raise _error(name, f"this PyTorch is built for {built}, but it finds no GPU or no driver for one")
    count = torch.cuda.device_count()
    if index is not None and index >= count:
        raise _error(name, f"this machine has {count} such device{'s' if count > 1 else ''}, numbered from 0")


def _require_working(name: str, device: torch.device) -> None:
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError, AttributeError, ImportError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise _error(name, f"PyTorch cannot use it here: {reason}") from error


def _unknown(name: str) -> BackboneError:
    kind, _, number = name.strip().lower().partition(":")
    available = available_devices()
    similar = difflib.get_close_matches(kind, ["cpu", "cuda", "mps"], n=1)
    if kind not in _GPU_NAMES and similar:
        meant = f"; did you mean {similar[0]!r}?"
    elif kind in _GPU_NAMES:
        meant = "; PyTorch calls NVIDIA and AMD cards `cuda`, and Apple's `mps`"
    else:
        meant = ""
    gpu = kind in _GPU_NAMES and available[0] != "cpu"
    wanted = f"{available[0]}:{number}" if gpu and f"{available[0]}:{number}" in available else available[0]
    chosen = wanted if gpu else similar[0] if similar and similar[0] in available else "cpu"
    return BackboneError(
        found=f"the device {name!r}, which PyTorch does not know{meant}",
        expected=f"one of {', '.join(available)}, the devices of this machine",
        next_step=f"set `device: {chosen}` in domain.yaml",
    )


def _error(name: str, reason: str, *, install: bool = False) -> BackboneError:
    available = available_devices()
    return BackboneError(
        found=f"the device {name!r}: {reason}",
        expected=f"one of {', '.join(available)}, the devices of this machine",
        next_step=f"set `device: {available[0]}` in domain.yaml"
        + (f", or install a PyTorch with CUDA: {_PYTORCH}" if install else ""),
    )
