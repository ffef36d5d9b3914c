"""Checks of a model's folder before Transformers reads it: what kind of files it has, and sizes that fit together.

The folder may come from anywhere. A pipe or a device in it would block the reader, and sizes that its weights do not
have would fill the memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from soft_prompt.errors import BackboneError
from soft_prompt.foreign_files import MIB, SETTINGS_LIMIT, ForeignFileError, read_regular, regular_size, tensor_entries

_SETTINGS = ("config.json", "generation_config.json", "tokenizer_config.json", "special_tokens_map.json")
# The largest tokenizers have about 35 MB.
_OTHER_LIMIT = 512 * MIB
# A folder of more chat templates in the model's folder.
_MORE_TEMPLATES = "additional_chat_templates"
# Of a file that says which weights are in which file.
_INDEX = ".safetensors.index.json"
_READ_SUFFIXES = (".json", ".jinja", ".txt", ".model", ".safetensors")
# Of other formats for weights, most of which are pickles.
_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".pkl", ".pickle")
_LAYER_COUNTS = {
    "num_hidden_layers", "num_layers", "n_layer", "n_layers", "encoder_layers", "decoder_layers",
    "num_encoder_layers", "num_decoder_layers",
}  # fmt: skip
# Of heads or experts; more would only fill the memory with empty modules.
_MAX_COUNT = 65_536
_TRANSFORMERS_REFUSAL = "trust_remote_code"


def check_model_folder(folder: Path) -> None:
    """Check the files that Transformers reads in a folder.

    Raises:
        BackboneError: if one is no regular file, is too large, or says sizes that the weights cannot have, or if
            weights are pickled alone or lie elsewhere.
    """
    try:
        tensors, size = 0, 0
        for path in sorted([*folder.iterdir(), *(folder / _MORE_TEMPLATES).glob("*.jinja")]):
            if path.suffix not in _READ_SUFFIXES or path.is_dir():
                continue
            if path.suffix == ".safetensors":
                size += regular_size(path)
                tensors += len(tensor_entries(path))
            else:
                is_small = path.name in _SETTINGS or path.suffix == ".jinja"
                regular_size(path, SETTINGS_LIMIT if is_small else _OTHER_LIMIT)
            if path.name.endswith(_INDEX):
                _require_own_weights(path)
        pickled = [] if size else [path.name for path in sorted(folder.iterdir()) if path.suffix in _PICKLED]
        if (folder / "adapter_config.json").exists():
            raise ForeignFileError(f"{folder / 'adapter_config.json'} belongs to a PEFT adapter, which is no model")
        if tensors and (folder / "config.json").exists():
            _require_sizes(json.loads(read_regular(folder / "config.json", SETTINGS_LIMIT)), tensors, size)
        if pickled:
            raise BackboneError(
                found=f"the folder {folder} has no weights in safetensors, but {pickled[0]}",
                expected="weights in safetensors; pickled weights are never read",
                next_step=f'if you trust its source, convert it: AutoModelForCausalLM.from_pretrained("{folder}")'
                f'.save_pretrained("{folder}")',
            )
    except (OSError, ValueError, RecursionError) as error:
        raise BackboneError(
            found=f"the folder {folder} is no model that can be read: {_first_line(error)}",
            expected="a Transformers model: regular files, with settings that fit the weights",
            next_step="save the model again: model.save_pretrained(folder), or check `backbone:` in domain.yaml",
        ) from error


def load_error(what: str, expected: str, error: Exception) -> BackboneError:
    """The error for `what`, if Transformers did not load it because of `error`."""
    if _TRANSFORMERS_REFUSAL in str(error):
        return BackboneError(
            found=f"{what} needs Python code of its own, which is never run",
            expected=f"{expected}, without custom code (`auto_map`)",
            next_step="choose a version of the model without custom code: many are published converted to a class of "
            "Transformers, often with -hf in their name",
        )
    return BackboneError(
        found=f"{what} does not load: {_first_line(error)}",
        expected=expected,
        next_step="check `backbone:` in domain.yaml",
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _require_own_weights(index: Path) -> None:
    """Refuse weights that are not in the folder itself: nobody checked them, and the digest does not cover them."""
    content = json.loads(read_regular(index, _OTHER_LIMIT))
    places = content.get("weight_map") if isinstance(content, dict) else None
    for name in set(map(str, places.values())) if isinstance(places, dict) else ():
        if Path(name).name != name:
            raise ForeignFileError(f"{index.name} names the weights {name!r}, which are not in the folder itself")


def _require_sizes(config: Any, tensors: int, size: int) -> None:
    """Refuse a count of layers above that of the tensors, and a width above the bytes of all weights."""
    for name, number in _numbers(config):
        words = name.lower().split("_")
        is_layers = name in _LAYER_COUNTS
        is_count = is_layers or "heads" in words or "experts" in words
        is_width = bool({"size", "dim", "embd", "inner", "ff", "model", "width"} & set(words))
        limit = min(tensors, _MAX_COUNT) if is_layers else _MAX_COUNT if is_count else size if is_width else None
        if limit is not None and number > limit:
            raise ValueError(f"config.json says {name} {number:,}, and its weights allow at most {limit:,}")
    for part in _parts(config):
        rows, width = part.get("vocab_size"), part.get("hidden_size", part.get("n_embd", part.get("d_model")))
        # Two weights per byte at most.
        if isinstance(rows, int) and isinstance(width, int) and rows * width > 2 * size:
            raise ValueError(
                f"config.json says {rows:,} tokens of {width:,} numbers, and its weights are {size:,} bytes"
            )


def _parts(config: Any) -> Iterator[dict[str, Any]]:
    """The settings of the model, and of its parts, such as `text_config`."""
    if isinstance(config, dict):
        yield config
        for part in config.values():
            yield from _parts(part)


def _numbers(config: Any) -> Iterator[tuple[str, int]]:
    for part in _parts(config):
        for name, value in part.items():
            if isinstance(value, int) and not isinstance(value, bool):
                yield name, value
