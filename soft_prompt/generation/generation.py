"""Replies from the frozen backbone: batched, streaming, greedy or sampled, with stop texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from soft_prompt.errors import BackboneError
from soft_prompt.generation.encoder_decoder import decode_answers
from soft_prompt.generation.sampling import Decoding, next_tokens, row_generators
from soft_prompt.graft.adapter_hooks import apply_adapters, batch_adapters
from soft_prompt.grammar.constraint import BatchConstraints
from soft_prompt.model.kv_cache import PreallocatedLayer, preallocated_cache
from soft_prompt.model.optimized import optimized
from soft_prompt.rows.batch import assemble, require_context
from soft_prompt.rows.encoder_inputs import input_length
from soft_prompt.rows.prefix_store import PrefixStore
from soft_prompt.rows.row import Row


@dataclass(frozen=True, slots=True)
class Reply:
    """One finished reply.

    Attributes:
        text: the reply without its stop text.
        tokens: tokens decoded.
        finish: `stop` at an end token or stop text, `length` at `max_tokens`.
        prompt_tokens: positions of the prompt.
        cached_tokens: how many of them came from the prefix store.
    """

    text: str
    tokens: int
    finish: Literal["stop", "length"]
    prompt_tokens: int
    cached_tokens: int


@dataclass(frozen=True, slots=True)
class Delta:
    """New text of one row; `reply` is set with the last one."""

    row: int
    text: str
    reply: Reply | None = None


@dataclass
class _RowText:
    """What one row has said so far, and how much of it may already be shown."""

    row: int
    prompt_tokens: int
    cached_tokens: int
    ids: list[int] = field(default_factory=list)
    shown: int = 0

    def advance(
        self, token: int, decode: Callable[[Sequence[int]], str], ends: bool, complete: bool, decoding: Decoding
    ) -> Delta:
        """Take in a token: `ends` where it is an end token, `complete` where no other can follow it."""
        if not ends:
            self.ids.append(token)
        text = decode(self.ids)
        cut = min((at for at in (text.find(s) for s in decoding.stop) if at >= 0), default=None)
        # Half a character at the end becomes a whole one with the next token, or is never said.
        text = text.rstrip("�") if cut is None else text[:cut]
        finish: Literal["stop", "length"] | None = None
        if ends or complete or cut is not None:
            finish = "stop"
        elif len(self.ids) >= decoding.max_tokens:
            finish = "length"
        # A beginning of a stop text is held back until it is certain.
        safe = len(text) if finish else len(text) - _overlap(text, decoding.stop)
        new, self.shown = text[self.shown : safe], max(self.shown, safe)
        if finish is None:
            return Delta(self.row, new)
        reply = Reply(text, len(self.ids), finish, self.prompt_tokens, self.cached_tokens)
        return Delta(self.row, new, reply)


def stream(
    store: PrefixStore,
    row: Row,
    decoding: Decoding | None = None,
    *,
    cancelled: Callable[[], bool] | None = None,
) -> Iterator[Delta]:
    """Decode one row and yield its text as it becomes certain. Closing the iterator stops decoding.

    Args:
        store: prefix keys and values, and the backbone.
        row: the encoded prompt.
        decoding: how; greedy by default.
        cancelled: asked before each token, also while text is held back; true ends the iterator without a reply.
    """
    yield from decode_batch(store, [row], decoding or Decoding(), cancelled=cancelled)


def generate(
    store: PrefixStore,
    rows: Sequence[Row],
    decoding: Decoding | None = None,
    *,
    batch_size: int = 16,
    on_reply: Callable[[int], None] | None = None,
) -> list[Reply]:
    """Decode many rows.

    Args:
        store: prefix keys and values, and the backbone.
        rows: the encoded prompts.
        decoding: how; greedy by default.
        batch_size: rows a forward pass; rows of like length are put together.
        on_reply: called with the number of finished replies after each.

    Returns:
        One reply a row, in the order of `rows`.

    Raises:
        ContextError: a prompt leaves no room for `max_tokens` more.
        ConstraintError: a row's constraint is broken.
    """
    decoding = decoding or Decoding()
    replies: dict[int, Reply] = {}
    order = sorted(range(len(rows)), key=lambda i: rows[i].length)
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        for delta in decode_batch(store, [rows[i] for i in chosen], decoding, numbers=chosen):
            if delta.reply is not None:
                replies[chosen[delta.row]] = delta.reply
                if on_reply is not None:
                    on_reply(len(replies))
    return [replies[i] for i in range(len(rows))]


def decode_batch(
    store: PrefixStore,
    rows: Sequence[Row],
    decoding: Decoding,
    *,
    numbers: Sequence[int] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Iterator[Delta]:
    """Decode rows together, yielding every row's new text. A finished row leaves the batch.

    `numbers` are the rows' own numbers, from which their random generators are seeded; by default their places.
    `cancelled` is asked before each token; true ends the iterator where it stands.
    """
    backbone = store.backbone
    constraints = BatchConstraints(backbone, [row.constraint for row in rows])
    if backbone.encoder_decoder:
        if decoding.weights == "int8":
            raise BackboneError(
                found=f"int8 weights asked for, and the backbone {backbone.id!r} is an encoder-decoder",
                expected="weights as they are",
                next_step="set `decode_weights: own` in domain.yaml",
            )
        texts = [_RowText(i, input_length(backbone, row), 0) for i, row in enumerate(rows)]

        def say(row: int, token: int) -> Delta:
            complete = constraints.completes(row, token)
            return texts[row].advance(token, backbone.decode, token in backbone.end_ids, complete, decoding)

        yield from decode_answers(
            backbone, rows, decoding, numbers or range(len(rows)), say, mask=constraints.mask, cancelled=cancelled
        )
        return
    # What is drawn by chance is drawn from the backbone's own probabilities, unless int8 is asked for.
    weights = "own" if decoding.weights == "auto" and decoding.temperature > 0 else decoding.weights
    backbone = optimized(store.backbone, weights)
    # Rounded weights make other keys of few tokens than of many, so a turn would depend on the one before it.
    reused = len(rows) == 1 and backbone.model is optimized(store.backbone, "own").model
    with torch.no_grad():
        opening = open_replies(store, rows, decoding.max_tokens, reuse=reused)
        width = opening.mask.shape[1]
        cache = preallocated_cache(_layer_count(store), width + decoding.max_tokens)
        for number, (keys, values) in enumerate(opening.layers):
            cache.update(keys, values, number)
        adapters = batch_adapters(backbone, [row.adapter for row in rows])
        with apply_adapters(backbone, adapters):
            logits = backbone.model(
                inputs_embeds=opening.embeddings,
                attention_mask=opening.mask,
                position_ids=opening.positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            ).logits[:, -1]
    positions = opening.positions[:, -1:]
    # Where nothing is padded a token sees all that is stored, which needs no mask; else it is allocated once, as the
    # cache is.
    mask = (
        None if bool(opening.mask.all()) else torch.nn.functional.pad(opening.mask, (0, decoding.max_tokens), value=1)
    )
    generators = row_generators(decoding, numbers or range(len(rows)))
    live = [_RowText(i, row.length, cached) for i, (row, cached) in enumerate(zip(rows, opening.cached, strict=True))]
    del opening
    if reused:
        store.conversations.keep(rows[0], live[0].ids, cache)
    while live and not (cancelled is not None and cancelled()):
        logits = constraints.mask(logits, [row.row for row in live])
        tokens = next_tokens(logits, decoding, [generators[row.row] for row in live])
        keep = []
        for number, (row, token) in enumerate(zip(live, tokens.tolist(), strict=True)):
            complete = constraints.completes(row.row, token)
            delta = row.advance(token, backbone.decode, token in backbone.end_ids, complete, decoding)
            if delta.reply is None:
                keep.append(number)
            if delta.text or delta.reply is not None:
                yield delta
        if not keep:
            return
        with torch.no_grad():
            if len(keep) < len(live):
                kept = torch.tensor(keep, device=tokens.device)
                live = [live[i] for i in keep]
                tokens, positions = tokens[kept], positions[kept]
                mask = None if mask is None else mask[kept]
                adapters = batch_adapters(backbone, [rows[row.row].adapter for row in live])
                for layer in cache.layers:
                    assert isinstance(layer, PreallocatedLayer)
                    layer.select_rows(kept)
            width += 1
            positions = positions + 1
            with apply_adapters(backbone, adapters):
                logits = backbone.model(
                    input_ids=tokens[:, None],
                    attention_mask=None if mask is None else mask[:, :width],
                    position_ids=positions,
                    past_key_values=cache,
                    use_cache=True,
                    logits_to_keep=1,
                ).logits[:, -1]


def _layer_count(store: PrefixStore) -> int:
    return int(store.backbone.model.config.get_text_config().num_hidden_layers)


def _overlap(text: str, stops: Sequence[str]) -> int:
    """Length of the longest end of the text that begins a stop text."""
    longest = 0
    for stop in stops:
        for size in range(min(len(stop) - 1, len(text)), longest, -1):
            if text.endswith(stop[:size]):
                longest = size
                break
    return longest


@dataclass(frozen=True, eq=False, slots=True)
class Opening:
    """The forward pass that opens replies.

    Attributes:
        embeddings: `[batch, new, hidden]`, in the backbone's dtype.
        mask: `[batch, before + new]`, int64, 0 where padding stands.
        positions: `[batch, new]`, int64, rotary positions.
        layers: keys and values before the new positions, a pair a layer, each `[batch, kv_heads, before, head_dim]`.
        cached: how many positions of each row were not computed for it.
    """

    embeddings: Tensor
    mask: Tensor
    positions: Tensor
    layers: list[tuple[Tensor, Tensor]]
    cached: list[int]


def open_replies(store: PrefixStore, rows: Sequence[Row], room: int, *, reuse: bool) -> Opening:
    """Put rows together, behind what is known of them.

    Args:
        store: prefix keys and values, the last conversations, and the backbone.
        rows: the encoded prompts.
        room: positions that must still fit behind each row, for the reply.
        reuse: whether a single row may go on behind an earlier conversation.

    Raises:
        ContextError: a row and its reply are longer than the backbone's context.
        BackboneError: the rows cannot run together on this backbone.
    """
    known = store.beginning(rows[0]) if reuse and len(rows) == 1 else None
    if known is None:
        batch = assemble(store, rows, max_new_tokens=room)
        cached = batch.mask[:, : batch.cached_length].sum(dim=1).tolist()
        return Opening(batch.embeddings, batch.mask, batch.positions, batch.layers(), cached)
    backbone, length = store.backbone, rows[0].length
    require_context(backbone, length, room)
    return Opening(
        embeddings=known.embeddings(backbone),
        mask=torch.ones((1, length), dtype=torch.int64, device=backbone.device),
        positions=torch.arange(known.length, length, device=backbone.device)[None],
        layers=known.layers,
        cached=[known.length],
    )
