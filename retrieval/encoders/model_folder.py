"""Checks of a sentence-transformers model before the library reads it: no code of its own, and only regular files.

`modules.json` may name any class that Python can import, and settings of Transformers may name Python files of the
folder. Neither is ever run. A pipe or a device in the folder would block the reader.
"""

from __future__ import annotations

import json
import os
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
_OWN_CLASSES = "sentence_transformers."
# Settings that count parts of the model, each of which costs time even if it is empty.
_COUNTS = ("num_hidden_layers", "num_attention_heads", "n_layer", "n_layers", "num_layers")
_MAX_COUNT = 4096


class ModelFolderError(ValueError):
    """A model folder that is not read. Its message is for the error of the encoder or the reranker."""


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


def check_model(name: str, *, local_files_only: bool = False) -> None:
    """Check a folder, and the classes that a folder or a model of the hub names.

    Raises:
        ModelFolderError: if it names classes of its own, or has a file of the wrong kind or size.
        OSError: if a file cannot be read.
    """
    folder = Path(name)
    if folder.is_dir():
        _check_files(folder)
        for path in (folder / "modules.json", *folder.rglob("router_config.json")):
            if path.is_file():
                _check_classes(path)
        return
    from sentence_transformers.util import load_file_path

    found = load_file_path(name, "modules.json", local_files_only=local_files_only)
    if found is not None:
        _check_classes(Path(found))


def problem_line(error: BaseException) -> str:
    """What is wrong with a model that the library did not load, in one line."""
    if "trust_remote_code" in str(error) or "custom code" in str(error):
        return NEEDS_CODE
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def _check_files(folder: Path) -> None:
    size, configs = 0, []
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
        size += status.st_size if path.suffix in _WEIGHTS else 0
        if path.name == "config.json":
            configs.append(path)
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
