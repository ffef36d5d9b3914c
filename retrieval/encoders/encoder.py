"""What an encoder is, and how one is found: the embedded one, a local folder, or a name on the hub."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


@runtime_checkable
class Encoder(Protocol):
    """Texts to unit vectors. Safe to call from several threads."""

    @property
    def id(self) -> str:
        """Name and weights: an index is bound to it, since vectors of two encoders do not compare."""
        ...

    @property
    def dimension(self) -> int:
        """The length of a vector."""
        ...

    @property
    def window(self) -> int:
        """The most tokens that are read; what lies beyond would be ignored."""
        ...

    def count_tokens(self, text: str) -> int:
        """The tokens of a text, special ones included, without any cut at the window."""
        ...

    def encode(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> NDArray[np.float32]:
        """`[len(texts), dimension]` float32, rows of length 1, in the order of `texts`.

        `progress` is told after each batch how many texts are done.
        """
        ...
