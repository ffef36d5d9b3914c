"""One copy of a backbone or encoder per process, however many domains use it.

A model belongs to the domains that use it: it is released with the last of them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import torch

from soft_prompt import Backbone
from soft_prompt.model.backbone import fast_dtype
from soft_prompt.model.device import require_device
from soft_prompt.training.distributed import local_device
from softgraft.settings.domain_file import DomainFile

Model = TypeVar("Model")
# What a model is loaded with. A key names everything that could make two of them differ.
Key = tuple[Any, ...]

_models: WeakValueDictionary[Key, Any] = WeakValueDictionary()
# A lock lives as long as somebody waits for it.
_loading: WeakValueDictionary[Key, threading.Lock] = WeakValueDictionary()
_lock = threading.Lock()


def shared(load: Callable[..., Model], *arguments: Any) -> Model:
    """The model that `load(*arguments)` returns; one for all callers with these arguments, while any of them holds it.

    Thread-safe: callers that come while it loads wait for it. Models with other arguments load at the same time.
    """
    folders = [folder_state(Path(argument)) for argument in arguments if isinstance(argument, str)]
    key: Key = (load, arguments, *folders)
    with _lock:
        loading = _loading.setdefault(key, threading.Lock())
    with loading:
        model: Model | None = _models.get(key)
        if model is None:
            model = _models[key] = load(*arguments)
    return model


def shared_backbone(file: DomainFile) -> Backbone:
    """The backbone of a domain; one for all domains with the same backbone, dtype and device.

    Raises:
        BackboneError: if it does not load.
    """
    device = local_device(file.device)
    # Before the dtype is chosen, which asks the device what it computes in.
    require_device(device)
    dtypes = {"bfloat16": torch.bfloat16, "float32": torch.float32}
    return shared(_load_backbone, file.backbone, dtypes.get(file.dtype) or fast_dtype(device), device)


def _load_backbone(name: str, dtype: torch.dtype, device: str) -> Backbone:
    return Backbone.load(name, dtype=dtype, device=device)


def folder_state(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Name, size and modification time of the files of a local model, which may be replaced while another is in use.

    Empty for a name that is no folder.
    """
    try:
        status = [(path.name, path.stat()) for path in sorted(folder.expanduser().iterdir()) if path.is_file()]
    except OSError:
        return ()
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in status)
