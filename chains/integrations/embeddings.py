"""Adapters from encoders to LangChain embeddings and back."""

from __future__ import annotations

import asyncio
import math
import threading
import warnings
from collections.abc import Callable, Sequence

import numpy as np
from langchain_core.embeddings import Embeddings
from langchain_core.runnables.config import run_in_executor
from numpy.typing import NDArray

from retrieval import Encoder
from retrieval.records.record import unit_rows

_BYTES_PER_TOKEN = 3


class EncoderEmbeddings(Embeddings):
    """An encoder, such as the built-in MiniLM, as LangChain embeddings.

        from retrieval import load_encoder
        embeddings = EncoderEmbeddings(load_encoder())

    Vectors have length 1. Texts longer than the encoder's window are truncated with a warning; split them with
    `encoder.count_tokens`. Cancelling an awaited call stops it at the next batch.
    """

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self._embed(texts, None)

    def embed_query(self, text: str) -> list[float]:
        return self._embed([text], None)[0]

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        cancelled = threading.Event()
        try:
            return await run_in_executor(None, self._embed, texts, cancelled)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async def aembed_query(self, text: str) -> list[float]:
        return (await self.aembed_documents([text]))[0]

    def _embed(self, texts: Sequence[str], cancelled: threading.Event | None) -> list[list[float]]:
        def stop_if_cancelled(_: int) -> None:
            if cancelled is not None and cancelled.is_set():
                raise asyncio.CancelledError

        self._warn_if_truncated(texts)
        vectors: list[list[float]] = self.encoder.encode(texts, stop_if_cancelled).tolist()
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

    Questions are embedded like documents, since an encoder does not distinguish them; `FaissStore` does. LangChain does
    not report the context length of embeddings: pass it as `window`, and `count_tokens` if possible. By default a token
    is estimated as 3 bytes of UTF-8, which overestimates most texts. `dimension` embeds a text on first use.
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
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        rows = unit_rows(self.embeddings.embed_documents(list(texts)), len(texts))
        self._dimension = rows.shape[1]
        if progress is not None:
            progress(len(texts))
        return rows


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
