"""A sentence-transformers model as an `Encoder`."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from retrieval.encoders.batches import BATCH, encode_in_batches
from retrieval.encoders.encoder import Encoder
from retrieval.encoders.instructions import Instructions, instructions_of
from retrieval.encoders.model_folder import (
    SAFETENSORS,
    checked_folder,
    problem_line,
    saved_as,
    without_questions,
    without_safetensors,
)
from retrieval.errors import EncoderError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer

_DEFAULT_WINDOW = 512


def load_sentence_encoder(name: str, *, encoder_id: str | None = None, local_files_only: bool = False) -> Encoder:
    """Load a SentenceTransformer from a local folder or the Hugging Face hub.

    Queries and passages get the instructions of the model's configuration (`instructions_of`). The default
    `encoder_id` is the name and a digest of the loaded weights and of these instructions. Raises EncoderError.
    """
    from sentence_transformers import SentenceTransformer

    try:
        with _no_progress_bars(), without_questions():
            folder = checked_folder(name, local_files_only=local_files_only)
            model = SentenceTransformer(
                str(folder),
                local_files_only=local_files_only,
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True},
            )
        instructions = instructions_of(model.prompts, model.default_prompt_name)
    except Exception as error:  # settings of a foreign model may make the library raise anything
        if without_safetensors(error):
            expected = SAFETENSORS
            convert = f'SentenceTransformer("{name}").save_pretrained("{saved_as(name)}")'
            step = f"if you trust its source, convert it: {convert}"
        else:
            expected = "a folder, or a Hugging Face id, of a sentence-transformers model"
            step = 'check the name, and unset HF_HUB_OFFLINE if it has to be downloaded; or use the encoder "embedded"'
        found = f"the encoder {name!r} cannot be loaded ({problem_line(error)})"
        raise EncoderError(found=found, expected=expected, next_step=step) from error
    model.eval()
    return _SentenceEncoder(model, instructions, encoder_id or f"{name}@sha256:{_digest(model, instructions)}")


class _SentenceEncoder:
    def __init__(self, model: SentenceTransformer, instructions: Instructions, encoder_id: str) -> None:
        self.id = encoder_id
        self.dimension = int(model.get_embedding_dimension() or 0)
        self._model = model
        self._instructions = instructions
        self._counter = _untruncated(model)
        # The tokenizer changes its own truncation setting during a call, so calls must not overlap.
        self._lock = threading.Lock()
        # A passage shares the window with its instruction.
        positions = int(model.max_seq_length or _DEFAULT_WINDOW)
        instruction = self._tokens_before(instructions.passage)
        self.window = positions - instruction
        if self.window <= self.count_tokens(""):
            raise EncoderError(
                found=f"the instruction before passages, {instructions.passage[:40]!r}, has {instruction} tokens",
                expected=f"room for a text in the encoder's {positions} tokens",
                next_step="shorten the prompt in the model's config_sentence_transformers.json, or use another encoder",
            )

    def count_tokens(self, text: str) -> int:
        if self._counter is not None:
            return len(self._counter.encode(text).ids)
        with self._lock:
            return len(self._model.tokenizer(text, truncation=False)["input_ids"])

    def encode(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> NDArray[np.float32]:
        return self._encode(self._model.encode_document, self._instructions.passage, texts, progress)

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self._encode(self._model.encode_query, self._instructions.query, texts, None)

    def _tokens_before(self, instruction: str) -> int:
        """How many tokens an instruction adds at most; at its end a tokenizer may join or divide differently."""
        samples = ("", "a", "1", "A", "的")
        return max(self.count_tokens(instruction + text) - self.count_tokens(text) for text in samples)

    def _encode(
        self,
        encode: Callable[..., Any],
        instruction: str,
        texts: Sequence[str],
        progress: Callable[[int], None] | None,
    ) -> NDArray[np.float32]:
        def encode_rows(rows: Sequence[int]) -> NDArray[np.float32]:
            with self._lock:
                vectors: NDArray[np.float32] = encode(
                    [texts[row] for row in rows],
                    # Even if it is empty: otherwise the library would choose one.
                    prompt=instruction,
                    batch_size=len(rows),
                    normalize_embeddings=True,
                    convert_to_numpy=True,
                    show_progress_bar=False,
                )
            return vectors

        lengths = [self.count_tokens(text) for text in texts] if len(texts) > BATCH else None
        return encode_in_batches(lengths, len(texts), self.dimension, encode_rows, progress)


def _untruncated(model: SentenceTransformer) -> Tokenizer | None:
    """A copy of a fast tokenizer without truncation and padding; None if the model has a slow tokenizer."""
    from tokenizers import Tokenizer

    backend = getattr(model.tokenizer, "backend_tokenizer", None)
    if not isinstance(backend, Tokenizer):
        return None
    copy = Tokenizer.from_str(backend.to_str())
    copy.no_truncation()
    copy.no_padding()
    return copy


def _digest(model: SentenceTransformer, instructions: Instructions) -> str:
    """SHA-256 of the weights, and of the instructions if there are any."""
    import torch

    digest = hashlib.sha256()
    if any(instructions):
        digest.update(json.dumps(instructions).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy())
    return digest.hexdigest()


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    from transformers.utils import logging

    enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if enabled:
            logging.enable_progress_bar()
