"""Generate replies from the frozen backbone: batched or streaming, greedy or sampled, with stop texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch

from soft_prompt.errors import BackboneError
from soft_prompt.generation.decoder_only import DecoderOnlyPass
from soft_prompt.generation.encoder_decoder import EncoderDecoderPass
from soft_prompt.generation.reply import Delta, Reply, ReplyText
from soft_prompt.generation.sampling import Decoding, next_tokens, row_generators
from soft_prompt.grammar.constraint import BatchConstraints
from soft_prompt.model.optimized import optimized
from soft_prompt.rows.encoder_inputs import input_length
from soft_prompt.rows.prefix_store import PrefixStore
from soft_prompt.rows.row import Row


def stream(
    store: PrefixStore,
    row: Row,
    decoding: Decoding | None = None,
    *,
    cancelled: Callable[[], bool] | None = None,
) -> Iterator[Delta]:
    """Decode one row, greedily by default, and yield its text as it becomes certain.

    Closing the iterator stops decoding. `cancelled` is checked before each token, also while text is held back; True
    ends the iterator without a reply.
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
    """Decode any number of rows, greedily by default. Returns one reply per row, in the order of `rows`.

    Args:
        batch_size: maximum number of rows per forward pass; rows of similar length are combined.
        on_reply: called after each reply with the number of finished replies.

    Raises:
        ContextError: if a prompt and `max_tokens` do not fit into the backbone's context.
        ConstraintError: if a row's constraint is invalid.
    """
    decoding = decoding or Decoding()
    replies: dict[int, Reply] = {}
    order = sorted(range(len(rows)), key=lambda i: rows[i].length)
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        for delta in decode_batch(store, [rows[i] for i in chosen], decoding, row_numbers=chosen):
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
    row_numbers: Sequence[int] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Iterator[Delta]:
    """Decode rows together and yield every row's new text. A finished row leaves the batch.

    `row_numbers` seed each row's random generator; by default they are the rows' indices in the batch.
    """
    backbone = store.backbone
    constraints = BatchConstraints(backbone, [row.constraint for row in rows])
    generators = row_generators(decoding, row_numbers or range(len(rows)))
    forward = _start(store, rows, decoding)
    lengths = [input_length(backbone, row) if backbone.encoder_decoder else row.length for row in rows]
    texts = [ReplyText(*numbers) for numbers in zip(range(len(rows)), lengths, forward.cached_tokens, strict=True)]
    if isinstance(forward, DecoderOnlyPass) and forward.reuse:
        store.conversations.add(rows[0], texts[0].ids, forward.cache)
    live = list(range(len(rows)))
    while live and not (cancelled is not None and cancelled()):
        logits = constraints.mask(forward.logits, live)
        tokens = next_tokens(logits, decoding, [generators[row] for row in live])
        keep = []
        for index, (row, token) in enumerate(zip(live, tokens.tolist(), strict=True)):
            complete = constraints.completes(row, token)
            is_end = token in backbone.end_ids
            delta = texts[row].add_token(token, backbone.decode, is_end=is_end, complete=complete, decoding=decoding)
            if delta.reply is None:
                keep.append(index)
            if delta.text or delta.reply is not None:
                yield delta
        if not keep:
            return
        if len(keep) < len(live):
            kept = torch.tensor(keep, device=tokens.device)
            live = [live[index] for index in keep]
            tokens = tokens[kept]
            forward.select_rows(kept)
        forward.step(tokens)


def _start(store: PrefixStore, rows: Sequence[Row], decoding: Decoding) -> DecoderOnlyPass | EncoderDecoderPass:
    """Run the prompts."""
    if store.backbone.encoder_decoder:
        if decoding.weights == "int8":
            raise BackboneError(
                found=f"int8 weights for the backbone {store.backbone.id!r}, which is an encoder-decoder",
                expected="weights as they are",
                next_step="set `decode_weights: own` in domain.yaml",
            )
        return EncoderDecoderPass(store.backbone, rows, decoding.max_tokens)
    # Sampling draws from the backbone's own probabilities, unless int8 is requested.
    weights = "own" if decoding.weights == "auto" and decoding.temperature > 0 else decoding.weights
    backbone = optimized(store.backbone, weights)
    # With rounded weights, keys depend on the number of rows run together, so a reply would depend on earlier turns.
    reuse = len(rows) == 1 and backbone.model is optimized(store.backbone, "own").model
    return DecoderOnlyPass(store, backbone, rows, decoding.max_tokens, reuse=reuse)
