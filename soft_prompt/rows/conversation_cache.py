"""Keys and values of the last conversations, from the first token to the last of the reply.

A prefix store keeps what stands before the soft slot. What stands behind it, the history, the question and the reply,
is read again in the next turn, behind the same beginning if nothing before it has changed: no passages, or the same
ones. So whole prompts with their replies are kept in memory, and a prompt takes over as many positions as it has in
common with one of them.

Only decoding does this. Keys and values of a reply were computed one token at a time, so they differ from those of a
pass over the whole prompt in the last bits.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers.cache_utils import Cache

from soft_prompt.graft.prompt import SoftPrompt
from soft_prompt.model.backbone import Backbone
from soft_prompt.model.kv_cache import PreallocatedLayer
from soft_prompt.rows.row import Row

Layers = list[tuple[Tensor, Tensor]]


@dataclass(frozen=True, eq=False, slots=True)
class _Kept:
    """One prompt and its reply, which may still be growing.

    Attributes:
        row: the prompt; holds on to its soft prompts, which are told apart by identity.
        prompt: what stands at each position of it, as `_positions` has it.
        reply: the tokens decoded so far.
        layers: keys and values of all that has run through the model; what is written is never written again.
    """

    row: Row
    prompt: tuple[int, ...]
    reply: list[int]
    layers: list[PreallocatedLayer]

    @property
    def positions(self) -> tuple[int, ...]:
        """What stands at each position that has keys and values in every layer."""
        reached = min(layer.get_seq_length() for layer in self.layers)
        return (*self.prompt, *self.reply)[:reached]

    @property
    def size(self) -> int:
        """Bytes, with the room for what is still to be decoded."""
        return sum(layer.nbytes for layer in self.layers)


@dataclass(frozen=True, eq=False, slots=True)
class Beginning:
    """The part of a prompt that is known already.

    Attributes:
        length: positions.
        layers: their keys and values, a pair a layer, each `[1, kv_heads, length, head_dim]`. Do not write to them.
        rest: the token ids and soft prompts behind them.
    """

    length: int
    layers: Layers
    rest: tuple[tuple[int, ...] | SoftPrompt, ...]

    def embeddings(self, backbone: Backbone) -> Tensor:
        """Embeddings of the rest, `[1, new, hidden]`."""
        vectors = [
            part.vectors.to(device=backbone.device, dtype=backbone.dtype)
            if isinstance(part, SoftPrompt)
            else backbone.embed(part)
            for part in self.rest
        ]
        return torch.cat(vectors)[None]


class ConversationCache:
    """The prompts that were decoded last, up to so many bytes; the one that was used last goes last.

    Args:
        limit_bytes: 0 keeps nothing.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._kept: list[_Kept] = []
        self._lock = threading.Lock()

    @property
    def used_bytes(self) -> int:
        """What is kept now."""
        return sum(kept.size for kept in self._kept)

    def longest(self, row: Row, beyond: int) -> Beginning | None:
        """The longest beginning of a row that is known; None where it is no longer than `beyond` positions.

        One position is always left to run, since a reply begins with what the model makes of it.
        """
        if not self.limit_bytes or _is_trained(row):
            return None
        wanted = _positions(row)
        best, length = None, beyond
        with self._lock:
            for kept in self._kept:
                common = min(_common(kept, row, wanted), len(wanted) - 1)
                if common > length:
                    best, length = kept, common
            if best is None:
                return None
            self._kept.remove(best)
            self._kept.append(best)
        layers = [layer.first(length) for layer in best.layers]
        return Beginning(length, layers, tuple(_rest(row, length)))

    def keep(self, row: Row, reply: list[int], cache: Cache) -> None:
        """Keep a row that has run through the model, and its reply as it grows.

        Args:
            row: the prompt.
            reply: the tokens decoded so far; followed as it grows.
            cache: of one row without padding, which nothing but the decoding of this reply writes to.
        """
        layers = [layer for layer in cache.layers if isinstance(layer, PreallocatedLayer)]
        entry = _Kept(row, _positions(row), reply, layers)
        if not self.limit_bytes or _is_trained(row) or entry.size > self.limit_bytes:
            return
        with self._lock:
            # What this one begins with is of no more use.
            others = [kept for kept in self._kept if _common(kept, row, entry.prompt) < len(kept.positions)]
            self._kept = [*others, entry]
            while self.used_bytes > self.limit_bytes:
                del self._kept[0]

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._kept = []


def _positions(row: Row) -> tuple[int, ...]:
    """What stands at each position of a row: a token id, or a negative number that stands for one soft prompt."""
    found = list(row.prefix)
    for part in row.suffix:
        found += [-1 - id(part)] * part.length if isinstance(part, SoftPrompt) else part
    return tuple(found)


def _common(kept: _Kept, row: Row, positions: tuple[int, ...]) -> int:
    """How many positions a row has in common with what is kept, each behind the same ones and computed alike."""
    other = kept.row
    if (row.fixed_prefix or other.fixed_prefix) and (
        row.prefix != other.prefix
        or row.cuts != other.cuts
        or row.passages != other.passages
        or row.attention != other.attention
        or row.adapter is not other.adapter
    ):
        # Where the slot stands decides from where on an adapter acts, and where passages end what they see.
        return 0
    known = kept.positions
    pairs = enumerate(zip(known, positions, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(known), len(positions)))


def _is_trained(row: Row) -> bool:
    """Whether one of its soft prompts is in training, and so another one in the next step."""
    parts = [part for part in row.suffix if isinstance(part, SoftPrompt)]
    return any(tensor.requires_grad for part in parts for tensor in part.tensors().values())


def _rest(row: Row, taken: int) -> Iterator[tuple[int, ...] | SoftPrompt]:
    """Token ids and soft prompts behind the first positions. A soft prompt is taken as a whole or not at all."""
    for part in (row.prefix, *row.suffix):
        length = part.length if isinstance(part, SoftPrompt) else len(part)
        if taken < length:
            yield part if isinstance(part, SoftPrompt) else part[taken:]
        taken = max(0, taken - length)
