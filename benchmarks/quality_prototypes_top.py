"""A second `kv` prompt before the passages, in the top layers only.

What passages are below those layers does not depend on it, so their hidden states are computed once, without gradient;
through the top layers they run at every step and see the prompt. With 0 layers this is the cached late slot, with all
of them the full front slot (prefix tuning, Li and Liang 2021, arXiv:2101.00190) beside it. For models that are built as
Llama is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, pad
from transformers.cache_utils import DynamicCache

from quality_data import Question
from quality_prototypes_rows import PLAIN, RowPrototype, Start, asked
from quality_systems import Where, general_prompt
from quality_training import BATCH
from soft_prompt import PrefixStore, Row, encode_prompt, kv_from_text_twin
from soft_prompt.cache import filled_cache, stacked
from soft_prompt.forward import Example
from soft_prompt.prompt import keys_and_values
from soft_prompt.rotary import rotate

FRONT = "front"


@dataclass(frozen=True, eq=False)
class _Read:
    """A prefix as it is kept, `M` tokens of it behind the head.

    Attributes:
        below: `[layers below, 2, kv_heads, tokens, head_dim]`.
        head: of the top layers, `[top, 2, kv_heads, head, head_dim]`.
        hidden: what the passages bring to the lowest of the top layers, `[M, hidden]`.
    """

    below: Tensor
    head: Tensor
    hidden: Tensor


@dataclass(frozen=True, eq=False)
class _Pass:
    """A batch after its forward pass: the last hidden states of the suffixes, and what decoding goes on with.

    Attributes:
        hidden: `[batch, suffix, hidden]`, padded at the left.
        masks: what the last position sees, below and in the top layers, each `[batch, 1, 1, stored]`.
        positions: of the last position, `[batch, 1]`.
    """

    hidden: Tensor
    cache: DynamicCache
    masks: tuple[Tensor, Tensor]
    positions: Tensor


class TopLayers(RowPrototype):
    """A `kv` soft prompt of 32 in the slot, and one before the passages that the last `top` layers have."""

    def __init__(self, where: Where, top: int) -> None:
        super().__init__(where)
        self.top, self.base = top, where.backbone.model.base_model
        self.split = len(self.base.layers) - top
        self.known: dict[tuple[int, ...], _Read] = {}

    def extra(self, store: PrefixStore, questions: Sequence[Question]) -> Start:
        row = encode_prompt(self.where.backbone, questions[0].prompt, {})
        twin = kv_from_text_twin(store, self.where.slot, self.where.twin, row.segments[0], PLAIN.length)
        return {FRONT: (twin.vectors[self.split :], PLAIN.rate)}

    def loss(self, store: PrefixStore, examples: Sequence[Example], batch: Sequence[int]) -> tuple[Tensor, int]:
        return self._loss(examples)

    def _loss(self, examples: Sequence[Example]) -> tuple[Tensor, int]:
        hidden = self._forward([example.full for example in examples]).hidden
        new = hidden.shape[1]
        wanted = torch.cat([h[new - len(e.answer) :] for h, e in zip(hidden, examples, strict=True)])
        targets = torch.tensor([token for example in examples for token in example.answer])
        return cross_entropy(self._logits(wanted), targets, reduction="sum"), len(targets)

    def reply(self, questions: Sequence[Question], max_tokens: int) -> list[str]:
        now = self.now(None)
        rows = [self.dress(self.encode(q.prompt), asked(q.prompt), now) for q in questions]
        order = sorted(range(len(rows)), key=lambda i: rows[i].length)
        replies: dict[int, str] = {}
        for first in range(0, len(order), 2 * BATCH):
            chosen = order[first : first + 2 * BATCH]
            self.known.clear()
            with torch.no_grad():
                said = self._decode([rows[i] for i in chosen], max_tokens)
            replies |= {i: self.where.backbone.decode(ids).strip() for i, ids in zip(chosen, said, strict=True)}
        return [replies[i] for i in range(len(rows))]

    def text_loss(self, texts: Sequence[str]) -> float:
        now, total, tokens = self.now(None), 0.0, 0
        for text in texts:
            row = self.encode(general_prompt(self.where.slot, text)).with_soft_prompt(now)
            *before, wanted, _ = row.suffix
            assert isinstance(wanted, tuple)
            with torch.no_grad():
                loss, count = self._loss([Example(replace(row, suffix=tuple(before)), wanted)])
            total, tokens = total + float(loss), tokens + count
        return total / tokens

    def _decode(self, rows: Sequence[Row], max_tokens: int) -> list[list[int]]:
        done = self._forward(rows)
        hidden, masks, positions = done.hidden[:, -1:], done.masks, done.positions
        said: list[list[int]] = [[] for _ in rows]
        ended = [False] * len(rows)
        for _ in range(max_tokens):
            tokens = self._logits(hidden[:, -1]).argmax(-1)
            for number, token in enumerate(tokens.tolist()):
                ended[number] = ended[number] or token in self.where.backbone.end_ids
                said[number] += [] if ended[number] else [token]
            if all(ended):
                break
            masks, positions = (pad(masks[0], (0, 1), value=True), pad(masks[1], (0, 1), value=True)), positions + 1
            hidden = self.base.embed_tokens(tokens[:, None])
            hidden = self._layers(hidden, positions, masks[0], done.cache, range(self.split))
            hidden = self._layers(hidden, positions, masks[1], done.cache, range(self.split, self.split + self.top))
            hidden = self.base.norm(hidden)
        return said

    def _forward(self, rows: Sequence[Row]) -> _Pass:
        """Suffixes through all layers, passages through the top ones with them."""
        reads = [self._read(row) for row in rows]
        suffixes = [self._suffix(row) for row in rows]
        late = [self._late(row) for row in rows]
        width = max(read.below.shape[-2] for read in reads)
        passages, new = max(len(read.hidden) for read in reads), max(map(len, suffixes))
        below = torch.stack([pad(r.below, (0, 0, width - r.below.shape[-2], 0)) for r in reads], dim=2)
        fronts = torch.stack(late, dim=2)
        head = reads[0].head[:, :, None].expand(-1, -1, len(rows), -1, -1, -1)
        early = self._early(head.shape[-2])[:, :, None].expand(-1, -1, len(rows), -1, -1, -1)
        past_below = torch.cat((below, fronts[: self.split]), dim=-2)
        past_top = torch.cat((head, early, fronts[self.split :]), dim=-2)
        cache = filled_cache([(layer[0], layer[1]) for past in (past_below, past_top) for layer in past.unbind(0)])

        valid_new = _right([len(suffix) for suffix in suffixes], new)
        valid_passages = _right([len(read.hidden) for read in reads], passages)
        valid_below = _right([read.below.shape[-2] for read in reads], width)
        seen = _causal(valid_new)
        ones = torch.ones(len(rows), 1, new, PLAIN.length, dtype=torch.bool)
        below_mask = torch.cat((_seen_by(valid_below, new), ones, seen), dim=-1)
        always = torch.ones(len(rows), 1, new, head.shape[-2] + 2 * PLAIN.length, dtype=torch.bool)
        of_new = torch.cat((always, _seen_by(valid_passages, new), seen), dim=-1)
        of_passages = torch.zeros(len(rows), 1, passages, of_new.shape[-1], dtype=torch.bool)
        of_passages[..., : head.shape[-2] + PLAIN.length] = True
        start = head.shape[-2] + 2 * PLAIN.length
        of_passages[..., start : start + passages] = _causal(valid_passages)

        positions = torch.tensor([self._positions(row, len(s), new) for row, s in zip(rows, suffixes, strict=True)])
        first = head.shape[-2] + PLAIN.length
        places = torch.stack([first + torch.arange(passages) - (passages - len(r.hidden)) for r in reads]).clamp(min=0)
        hidden = torch.stack([pad(suffix, (0, 0, new - len(suffix), 0)) for suffix in suffixes])
        hidden = self._layers(hidden, positions, below_mask, cache, range(self.split))
        shown = torch.stack([pad(r.hidden, (0, 0, passages - len(r.hidden), 0)) for r in reads])
        hidden, both = torch.cat((shown, hidden), dim=1), torch.cat((places, positions), dim=1)
        mask = torch.cat((of_passages, of_new), dim=2)
        hidden = self._layers(hidden, both, mask, cache, range(self.split, self.split + self.top))
        last = (below_mask[:, :, -1:], of_new[:, :, -1:])
        return _Pass(self.base.norm(hidden[:, passages:]), cache, last, positions[:, -1:])

    def _layers(
        self, hidden: Tensor, positions: Tensor, mask: Tensor, cache: DynamicCache, numbers: Sequence[int]
    ) -> Tensor:
        angles = self.base.rotary_emb(hidden, positions)
        for number in numbers:
            hidden = self.base.layers[number](
                hidden, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True,
                position_embeddings=angles,
            )  # fmt: skip
        return hidden

    def _read(self, row: Row) -> _Read:
        """The prefix, with a gap behind its head for the prompt that only the top layers have."""
        found = self.known.get(row.prefix)
        if found is None:
            head = len(row.segments[0])
            positions = [at if at < head else at + PLAIN.length for at in range(len(row.prefix))]
            with torch.no_grad():
                output = self.base(
                    input_ids=torch.tensor([row.prefix]),
                    position_ids=torch.tensor([positions]),
                    past_key_values=DynamicCache(),
                    use_cache=True,
                    output_hidden_states=True,
                )
            whole = stacked(output.past_key_values)
            hidden = output.hidden_states[self.split][0, head:].clone()
            below, top = whole[: self.split].clone(), whole[self.split :, ..., :head, :].clone()
            found = self.known[row.prefix] = _Read(below, top, hidden)
        return found

    def _early(self, head: int) -> Tensor:
        front = self.tensors[FRONT]
        keys = rotate(self.where.backbone, front[:, 0], head, self.split)
        return torch.stack((keys, front[:, 1]), dim=1).to(self.where.backbone.dtype)

    def _late(self, row: Row) -> Tensor:
        assert row.front is not None
        return keys_and_values(self.where.backbone, row.front, len(row.prefix) + PLAIN.length, 0)[1]

    def _suffix(self, row: Row) -> Tensor:
        return self.where.backbone.embed([i for part in row.suffix if isinstance(part, tuple) for i in part])

    def _positions(self, row: Row, own: int, new: int) -> list[int]:
        first = len(row.prefix) + 2 * PLAIN.length
        return [0] * (new - own) + list(range(first, first + own))

    def _logits(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self.where.backbone.model.lm_head(hidden).float()
        return logits


def _right(lengths: Sequence[int], width: int) -> Tensor:
    """`[rows, width]`, True in the last so many columns of each row."""
    return torch.arange(width)[None] >= width - torch.tensor(lengths)[:, None]


def _seen_by(valid: Tensor, queries: int) -> Tensor:
    """`[rows, 1, queries, width]` of `[rows, width]`."""
    return valid[:, None, None].expand(-1, 1, queries, -1)


def _causal(valid: Tensor) -> Tensor:
    """`[rows, 1, width, width]`: each sees itself and what is valid before it."""
    return valid[:, None, None] & torch.ones(valid.shape[1], valid.shape[1], dtype=torch.bool).tril()
