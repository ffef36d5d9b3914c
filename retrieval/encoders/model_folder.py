"""Checks of a sentence-transformers model before the library reads it: no code, no pickles, and only regular files.

`modules.json` may name any class that Python can import, and settings of Transformers may name Python files of the
folder. Neither is ever run. Weights are read from safetensors alone. A pipe or a device in the folder would block the
reader.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_MIB = 2**20
_SETTINGS_LIMIT = 16 * _MIB
# Tokenizers and vocabularies.
_OTHER_LIMIT = 512 * _MIB
_MAX_FILES = 10_000
_READ_SUFFIXES = (".json", ".jinja", ".txt", ".model", ".safetensors", ".bin")
_WEIGHTS = (".safetensors", ".bin")
# What the library would unpickle where it finds no safetensors beside it, and where it looks for these.
_PICKLED = re.compile(r"(pytorch_model.*|adapter_model)\.bin")
_READ_FIRST = ("model.safetensors", "model.safetensors.index.json", "adapter_model.safetensors")
# Of a model of the hub, what is downloaded. The library would also take pickled weights.
_DOWNLOADED = ("*.json", "*.jinja", "*.txt", "*.model", "*.safetensors")
# Copies of the weights for other programs.
_NOT_DOWNLOADED = ("onnx/*", "openvino/*")
_OWN_CLASSES = "sentence_transformers."
# Settings that count parts of the model, each of which costs time even if it is empty.
_COUNTS = ("num_hidden_layers", "num_attention_heads", "n_layer", "n_layers", "num_layers")
_MAX_COUNT = 4096


class ModelFolderError(ValueError):
    """A model folder that is not read. Its message is for the error of the encoder or the reranker."""


class PickledWeightsError(ModelFolderError):
    """A model has no weights in safetensors, or not all."""


SAFETENSORS = "weights in safetensors; pickled weights are never read"
NEEDS_CODE = "it needs Python code of its own, which is never run: use a model of sentence-transformers' own classes"


@contextmanager
def without_questions() -> Iterator[None]:
    """Within this context, Transformers never asks on standard input whether it may run a model's code.

    `trust_remote_code=False` already says no; sentence-transformers does not pass it on everywhere.
    """
    from transformers import dynamic_module_utils

    limit = dynamic_module_utils.TIME_OUT_REMOTE_CODE
    dynamic_module_utils.TIME_OUT_REMOTE_CODE = 0
    try:
        yield
    finally:
        dynamic_module_utils.TIME_OUT_REMOTE_CODE = limit


def checked_folder(name: str, *, local_files_only: bool = False) -> Path:
    """The folder of a model, which is downloaded if it is one of the hub; its files and classes are checked.

    Raises:
        ModelFolderError: if it names classes of its own, has no weights in safetensors, or has a file of the wrong kind
            or size.
        OSError: if a file cannot be read or downloaded.
    """
    folder = Path(name)
    if not folder.is_dir():
        from huggingface_hub import snapshot_download

        allowed, ignored = list(_DOWNLOADED), list(_NOT_DOWNLOADED)
        folder = Path(
            snapshot_download(name, allow_patterns=allowed, ignore_patterns=ignored, local_files_only=local_files_only)
        )
    _check_files(folder)
    for path in (folder / "modules.json", *folder.rglob("router_config.json")):
        if path.is_file():
            _check_classes(path)
    return folder


def problem_line(error: BaseException) -> str:
    """What is wrong with a model that the library did not load, in one line."""
    if "trust_remote_code" in str(error) or "custom code" in str(error):
        return NEEDS_CODE
    if isinstance(error, ModelFolderError):
        return str(error)
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def without_safetensors(error: BaseException) -> bool:
    """Whether a model was not loaded because a part of it has no weights in safetensors."""
    # The library names the pickled file where a module has neither.
    return isinstance(error, PickledWeightsError) or "pytorch_model.bin" in str(error)


def saved_as(name: str) -> str:
    """The folder that a converted model is written to: its own, or one named like the model of the hub."""
    return name if Path(name).is_dir() else name.rpartition("/")[2]


def _check_files(folder: Path) -> None:
    size, configs, has_safetensors = 0, [], False
    for number, path in enumerate(_files(folder)):
        if number > _MAX_FILES:
            raise ModelFolderError(f"it has more than {_MAX_FILES:,} files")
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ModelFolderError(f"{path.relative_to(folder)} is a pipe, a device or a socket, not a regular file")
        is_small = path.name.endswith("config.json") or path.name == "modules.json"
        limit = None if path.suffix in _WEIGHTS else _SETTINGS_LIMIT if is_small else _OTHER_LIMIT
        if limit is not None and status.st_size > limit:
            raise ModelFolderError(f"{path.relative_to(folder)} has {status.st_size:,} bytes, more than {limit:,}")
        has_safetensors = has_safetensors or path.suffix == ".safetensors"
        if _PICKLED.fullmatch(path.name) and not any((path.parent / read).is_file() for read in _READ_FIRST):
            raise PickledWeightsError(f"{path.relative_to(folder)} is pickled, and no safetensors file is beside it")
        size += status.st_size if path.suffix in _WEIGHTS else 0
        if path.name == "config.json":
            configs.append(path)
    if not has_safetensors:
        # Of a model of the hub, pickled weights were not downloaded.
        is_model = any((folder / name).is_file() for name in ("config.json", "modules.json"))
        raise (PickledWeightsError if is_model else ModelFolderError)("it has no weights in safetensors")
    for path in configs:
        _check_sizes(_content(path), size, path.relative_to(folder))


def _files(folder: Path) -> Iterator[Path]:
    """All files that the library may read. Links to other folders are not followed."""
    for parent, _, names in os.walk(folder):
        yield from (Path(parent, name) for name in sorted(names) if Path(name).suffix in _READ_SUFFIXES)


def _check_sizes(config: Any, size: int, name: Path) -> None:
    """Refuse sizes that would fill the memory, although the weights are small."""
    if not isinstance(config, dict):
        return
    rows, width = config.get("vocab_size"), config.get("hidden_size", config.get("d_model"))
    # Two weights per byte at most.
    if isinstance(rows, int) and isinstance(width, int) and rows * width > 2 * size:
        raise ModelFolderError(f"{name} says {rows:,} tokens of {width:,} numbers, and its weights are {size:,} bytes")
    for key, number in config.items():
        limit = _MAX_COUNT if key in _COUNTS else size if key.endswith("_size") else None
        if limit is not None and isinstance(number, int) and number > limit:
            raise ModelFolderError(f"{name} says {key} {number:,}, more than {limit:,}")


def _check_classes(path: Path) -> None:
    """Refuse classes outside sentence-transformers, in the list of modules or the routes of a module."""
    content = _content(path)
    named = content.get("types", {}).values() if isinstance(content, dict) else content
    for entry in named if not isinstance(named, (str, int, float, type(None))) else ():
        kind = entry.get("type") if isinstance(entry, dict) else entry
        if not isinstance(kind, str) or not kind.startswith(_OWN_CLASSES):
            raise ModelFolderError(f"{path.name} names the class {str(kind)[:80]!r}; {NEEDS_CODE}")


def _content(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ModelFolderError(f"{path.name} is nested too deeply") from error
