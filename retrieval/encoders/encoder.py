"""The interface of a sentence encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


@runtime_checkable
class Encoder(Protocol):
    """Encodes texts as unit vectors. Thread-safe.

    Many models read a question with another instruction before it than a passage, so each has its own method.
    """

    @property
    def id(self) -> str:
        """Identifies name, weights and instructions. An index is bound to it: vectors of two encoders are not
        comparable.
        """

    @property
    def dimension(self) -> int:
        """Number of components of a vector."""

    @property
    def window(self) -> int:
        """Maximum number of tokens of a text; the rest would be ignored."""

    def count_tokens(self, text: str) -> int:
        """Number of tokens of a text, with special tokens, not truncated to the window."""

    def encode(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> NDArray[np.float32]:
        """`[len(texts), dimension]` float32, rows of length 1, in the order of `texts`.

        For passages, and for sentences that a query is compared with. `progress` is called after each batch with the
        number of encoded texts.
        """

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """As `encode`, for questions and other queries. A model without instructions gives the same vectors."""
