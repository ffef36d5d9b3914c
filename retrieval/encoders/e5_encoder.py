"""multilingual-e5-small (Wang et al. 2024, arXiv:2402.05672) as an `Encoder`, from 4-bit weights.

The embeddings of the 250,037 tokens, four fifths of the model, stay in 4 bits in the mapped file, and only the rows
that a batch looks up are expanded. The layers are expanded to float32 once: 85 MB.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from retrieval.encoders.batches import BATCH, encode_in_batches
from retrieval.encoders.e5_file import BLOCK, BLOCK_BYTES, E5File, dequantised
from retrieval.encoders.e5_tokenizer import E5Tokenizer

QUERY, PASSAGE = "query: ", "passage: "


class E5Encoder:
    """The encoder, given the file's content and an id for it."""

    def __init__(self, file: E5File, encoder_id: str) -> None:
        self.id = encoder_id
        self.dimension = file.hidden
        self._tokenizer = E5Tokenizer(file)
        self._model = E5Model(file)
        self._positions = file.positions
        # A passage shares the window with its instruction.
        self.window = file.positions - len(self._tokenizer.ids([PASSAGE])[0]) + 2

    def count_tokens(self, text: str) -> int:
        return len(self._tokenizer.ids([text])[0])

    def encode(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> NDArray[np.float32]:
        return self._encode([PASSAGE + text for text in texts], progress)

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self._encode([QUERY + text for text in texts], None)

    def _encode(self, texts: Sequence[str], progress: Callable[[int], None] | None) -> NDArray[np.float32]:
        tokens = self._tokenizer.ids(texts, self._positions)
        lengths = [len(ids) for ids in tokens] if len(texts) > BATCH else None

        def encode_rows(rows: Sequence[int]) -> NDArray[np.float32]:
            vectors: NDArray[np.float32] = self._model.vectors([tokens[row] for row in rows]).numpy()
            return vectors

        return encode_in_batches(lengths, len(texts), self.dimension, encode_rows, progress)


@dataclass(frozen=True, eq=False)
class _Layer:
    """Weights of a layer; each pair is a matrix `[outputs, inputs]` and a bias, or a norm's weight and bias."""

    attention_input: tuple[Tensor, Tensor]
    attention_output: tuple[Tensor, Tensor]
    attention_norm: tuple[Tensor, Tensor]
    inner: tuple[Tensor, Tensor]
    outer: tuple[Tensor, Tensor]
    norm: tuple[Tensor, Tensor]


class E5Model:
    """A BERT encoder (Devlin et al. 2019, arXiv:1810.04805) with mean pooling, in float32 on the CPU."""

    def __init__(self, file: E5File) -> None:
        self._heads, self._epsilon = file.heads, file.epsilon
        # `[tokens, blocks, bytes]`, uint8, in the mapped file.
        blocks = file.matrices["emb.word"].reshape(-1, file.hidden // BLOCK, BLOCK_BYTES)
        self._embeddings = torch.from_numpy(blocks)
        # Every token of a text has the first of the two segment types.
        places = file.vectors["emb.pos"].reshape(file.positions, file.hidden) + file.vectors["emb.type"][: file.hidden]
        self._places = torch.from_numpy(places)
        self._norm = _vector(file, "emb.ln.w"), _vector(file, "emb.ln.b")
        self._layers = [_layer(file, number) for number in range(file.layers)]

    @torch.inference_mode()
    def vectors(self, tokens: Sequence[Sequence[int]]) -> Tensor:
        """`[texts, hidden]`, float32, rows of length 1, for the token ids of each text."""
        longest = max(map(len, tokens))
        ids = torch.zeros(len(tokens), longest, dtype=torch.int64)
        read = torch.zeros(len(tokens), longest, dtype=torch.bool)
        for row, own in enumerate(tokens):
            ids[row, : len(own)] = torch.tensor(own)
            read[row, : len(own)] = True
        # Texts of one length need no mask.
        mask = None if bool(read.all()) else read[:, None, None, :]
        states = self._embedded(ids)
        for layer in self._layers:
            states = self._run(layer, states, mask)
        total = (states * read[..., None]).sum(dim=1)
        return functional.normalize(total, dim=-1)

    def _embedded(self, ids: Tensor) -> Tensor:
        blocks = self._embeddings[ids]
        steps = blocks[..., :2].contiguous().view(torch.float16).float()
        codes = torch.cat([blocks[..., 2:] & 15, blocks[..., 2:] >> 4], dim=-1).float() - 8
        states = (codes * steps).flatten(2) + self._places[: ids.shape[1]]
        return self._normalised(states, self._norm)

    def _run(self, layer: _Layer, states: Tensor, mask: Tensor | None) -> Tensor:
        batch, length, hidden = states.shape
        parts = functional.linear(states, *layer.attention_input)
        split = parts.view(batch, length, 3, self._heads, hidden // self._heads).permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(split[0], split[1], split[2], attn_mask=mask)
        attended = functional.linear(attended.transpose(1, 2).reshape(states.shape), *layer.attention_output)
        states = self._normalised(states + attended, layer.attention_norm)
        inner = functional.gelu(functional.linear(states, *layer.inner))
        return self._normalised(states + functional.linear(inner, *layer.outer), layer.norm)

    def _normalised(self, states: Tensor, norm: tuple[Tensor, Tensor]) -> Tensor:
        return functional.layer_norm(states, states.shape[-1:], norm[0], norm[1], self._epsilon)


def _layer(file: E5File, number: int) -> _Layer:
    def pair(name: str) -> tuple[Tensor, Tensor]:
        bias = _vector(file, f"l{number}.{name}.b")
        inputs = file.inner if name == "fo" else file.hidden
        return torch.from_numpy(dequantised(file.matrices[f"l{number}.{name}.w"], inputs)), bias

    def norm(name: str) -> tuple[Tensor, Tensor]:
        return _vector(file, f"l{number}.{name}.w"), _vector(file, f"l{number}.{name}.b")

    queries, keys, values = pair("q"), pair("k"), pair("v")
    joined = torch.cat([queries[0], keys[0], values[0]]), torch.cat([queries[1], keys[1], values[1]])
    return _Layer(joined, pair("ao"), norm("aln"), pair("fi"), pair("fo"), norm("oln"))


def _vector(file: E5File, name: str) -> Tensor:
    return torch.from_numpy(file.vectors[name].copy())
