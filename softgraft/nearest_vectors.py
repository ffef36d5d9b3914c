"""The encoder's vectors of a domain's examples, made once and kept in its build folder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval import Encoder


def vectors_of(texts: Sequence[str], encoder: Encoder, path: Path) -> NDArray[np.float32]:
    """`[texts, dimension]`, fp32, of length 1: from the file where it holds these, else made and put there.

    Args:
        texts: of the examples.
        encoder: which makes them.
        path: an .npy file; its name gets a digest of encoder and texts.
    """
    digest = hashlib.sha256(encoder.id.encode())
    for text in texts:
        digest.update(len(text).to_bytes(8, "little") + text.encode())
    own = path.with_name(f"{path.stem}-{digest.hexdigest()[:24]}.npy")
    try:
        found = np.load(own, allow_pickle=False)
        if found.shape == (len(texts), encoder.dimension) and found.dtype == np.float32:
            return found  # type: ignore[no-any-return]
    except (OSError, ValueError):
        # Not there, or damaged: made anew below.
        own.unlink(missing_ok=True)
    made = encoder.encode(list(texts))
    path.parent.mkdir(parents=True, exist_ok=True)
    for old in path.parent.glob(f"{path.stem}-*.npy"):
        old.unlink()
    scratch = own.with_suffix(".part.npy")
    np.save(scratch, made, allow_pickle=False)
    scratch.rename(own)
    return made
