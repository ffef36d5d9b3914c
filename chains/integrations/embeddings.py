"""Adapters from encoders to LangChain embeddings and back."""

from __future__ import annotations

import asyncio
import math
import threading
import warnings
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from langchain_core.embeddings import Embeddings
from langchain_core.runnables.config import run_in_executor
from numpy.typing import NDArray

from retrieval import Encoder
from retrieval.markup import whole_characters
from retrieval.records.record import unit_rows

_BYTES_PER_TOKEN = 3


class EncoderEmbeddings(Embeddings):
    """An encoder, such as the embedded one, as LangChain embeddings.

        from retrieval import load_encoder
        embeddings = EncoderEmbeddings(load_encoder())

    Vectors have length 1. Texts longer than the encoder's window are truncated with a warning; split them with
    `encoder.count_tokens`. A lone surrogate counts as U+FFFD. Cancelling an awaited call stops it at the next batch.
    """

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self._embed(texts, self.encoder.encode)

    def embed_query(self, text: str) -> list[float]:
        return self._embed([text], self.encoder.encode_queries)[0]

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        cancelled = threading.Event()

        def stop_if_cancelled(_: int) -> None:
            if cancelled.is_set():
                raise asyncio.CancelledError

        try:
            encode = partial(self.encoder.encode, progress=stop_if_cancelled)
            return await run_in_executor(None, self._embed, texts, encode)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async def aembed_query(self, text: str) -> list[float]:
        return await run_in_executor(None, self.embed_query, text)

    def _embed(self, texts: Sequence[str], encode: Callable[[Sequence[str]], NDArray[np.float32]]) -> list[list[float]]:
        texts = [whole_characters(text) for text in texts]
        self._warn_if_truncated(texts)
        vectors: list[list[float]] = encode(texts).tolist()
        return vectors

    def _warn_if_truncated(self, texts: Sequence[str]) -> None:
        window = self.encoder.window
        # Counting is slow, and a token has at least one byte: skip texts that cannot be too long.
        long = [text for text in texts if len(text.encode(errors="replace")) + 2 > window]
        truncated = sum(self.encoder.count_tokens(text) > window for text in long)
        if truncated:
            warnings.warn(
                f"{truncated} of {len(texts)} texts are longer than the {window} tokens that the encoder reads; the "
                "rest of them is not searched. Next: split them with encoder.count_tokens",
                stacklevel=4,
            )


class EmbeddingsEncoder:
    """LangChain embeddings as an encoder: for `ingest`, or to open a vector store's folder with `open_index`.

    LangChain does not report the context length of embeddings: pass it as `window`, and `count_tokens` if possible. By
    default a token is estimated as 3 bytes of UTF-8, which overestimates most texts. `dimension` embeds a text on first
    use.
    """

    def __init__(
        self,
        embeddings: Embeddings,
        *,
        window: int = 512,
        count_tokens: Callable[[str], int] | None = None,
        id: str | None = None,
    ) -> None:
        self.embeddings = embeddings
        self.id = id or embeddings_id(embeddings)
        self.window = window
        self.count_tokens = count_tokens or _estimated_tokens
        self._dimension: int | None = None

    @property
    def dimension(self) -> int:
        if self._dimension is None:
            self._dimension = len(self.embeddings.embed_documents(["dimension"])[0])
        return self._dimension

    def encode(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> NDArray[np.float32]:
        """Raises EncoderError if vectors differ in length, are zero, or are fewer than the texts."""
        rows = self._unit_rows(self.embeddings.embed_documents(list(texts)), len(texts)) if texts else self._no_rows()
        if progress is not None and texts:
            progress(len(texts))
        return rows

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Raises EncoderError as `encode`. LangChain embeds one query per call."""
        rows = [self.embeddings.embed_query(text) for text in texts]
        return self._unit_rows(rows, len(texts)) if texts else self._no_rows()

    def _unit_rows(self, rows: Sequence[Sequence[float]], count: int) -> NDArray[np.float32]:
        vectors = unit_rows(rows, count)
        self._dimension = vectors.shape[1]
        return vectors

    def _no_rows(self) -> NDArray[np.float32]:
        return np.zeros((0, self.dimension), dtype=np.float32)


def _estimated_tokens(text: str) -> int:
    return math.ceil(len(text.encode(errors="replace")) / _BYTES_PER_TOKEN)


def embeddings_id(embeddings: Embeddings) -> str:
    """The id that binds an index to embeddings: an encoder's id, or the class and model name."""
    if isinstance(embeddings, EncoderEmbeddings):
        return embeddings.encoder.id
    if isinstance(embeddings, EmbeddingsEncoder):
        return embeddings.id
    names = (getattr(embeddings, name, None) for name in ("model", "model_name", "model_id", "deployment"))
    model = next((name for name in names if isinstance(name, str) and name), None)
    kind = type(embeddings).__name__
    return f"langchain:{kind}:{model}" if model else f"langchain:{kind}"
