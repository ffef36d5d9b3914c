"""A file cache for the vectors of a list of questions. It may be deleted at any time."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval.encoders.encoder import Encoder
from retrieval.regular_files import open_regular

_DIGEST = hashlib.sha256().digest_size
_SUFFIX = ".vectors"
_log = logging.getLogger(__name__)


def kept_vectors(texts: Sequence[str], encoder: Encoder, folder: Path) -> NDArray[np.float32]:
    """Unit vectors `[texts, dimension]`, fp32, from the cache in `folder`, or encoded as queries and cached there.

    The file name depends on the encoder and the texts. A damaged file is replaced. A folder caches one list of texts.
    Where nothing can be read or written, a warning says so, and the vectors are encoded.
    """
    name = hashlib.sha256(json.dumps([encoder.id, list(texts)]).encode()).hexdigest()
    path, shape = folder / f"{name[:32]}{_SUFFIX}", (len(texts), encoder.dimension)
    try:
        with open_regular(path) as file:
            data = file.read()
    except OSError:
        data = b""
    body = data[_DIGEST:]
    if len(body) == 4 * shape[0] * shape[1] and hashlib.sha256(body).digest() == data[:_DIGEST]:
        return np.frombuffer(body, dtype="<f4").reshape(shape).astype(np.float32)
    vectors = encoder.encode_queries(list(texts))
    try:
        _replace(path, vectors.astype("<f4").tobytes())
    except OSError as error:
        _log.warning("the vectors of %d questions cannot be kept in %s (%s)", len(texts), folder, error.strerror)
    return vectors


def _replace(path: Path, body: bytes) -> None:
    """Write the only file of a folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for old in path.parent.glob(f"*{_SUFFIX}"):
        old.unlink(missing_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        scratch.write_bytes(hashlib.sha256(body).digest() + body)
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
