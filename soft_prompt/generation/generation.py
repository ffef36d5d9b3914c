"""Generate replies from the frozen backbone: batched or streaming, greedy or sampled, with stop texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from soft_prompt.errors import BackboneError
from soft_prompt.generation.encoder_decoder import decode_encoder_decoder
from soft_prompt.generation.reply import Delta, Reply, ReplyText
from soft_prompt.generation.sampling import Decoding, next_tokens, row_generators
from soft_prompt.graft.adapter_hooks import apply_adapters, batch_adapters
from soft_prompt.grammar.constraint import BatchConstraints
from soft_prompt.model.kv_cache import LayerKV, PreallocatedLayer, preallocated_cache
from soft_prompt.model.optimized import optimized
from soft_prompt.rows.batch import assemble, require_context
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
    """Decode one row and yield its text as it becomes certain. Closing the iterator stops decoding.

    Args:
        store: prefix keys and values, and the backbone.
        row: the encoded prompt.
        decoding: settings; greedy by default.
        cancelled: checked before each token, also while text is held back; True ends the iterator without a reply.
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
    """Decode any number of rows.

    Args:
        store: prefix keys and values, and the backbone.
        rows: the encoded prompts.
        decoding: settings; greedy by default.
        batch_size: maximum number of rows per forward pass; rows of similar length are combined.
        on_reply: called after each reply with the number of finished replies.

    Returns:
        One reply per row, in the order of `rows`.

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

    Args:
        store: prefix keys and values, and the backbone.
        rows: the encoded prompts.
        decoding: settings.
        row_numbers: seed each row's random generator; by default the rows' indices in the batch.
        cancelled: checked before each token; True ends the iterator.
    """
    backbone = store.backbone
    constraints = BatchConstraints(backbone, [row.constraint for row in rows])
    generators = row_generators(decoding, row_numbers or range(len(rows)))
    if backbone.encoder_decoder:
        if decoding.weights == "int8":
            raise BackboneError(
                found=f"int8 weights for the backbone {backbone.id!r}, which is an encoder-decoder",
                expected="weights as they are",
                next_step="set `decode_weights: own` in domain.yaml",
            )
        texts = [ReplyText(i, input_length(backbone, row)) for i, row in enumerate(rows)]
    else:
        texts = [ReplyText(i, row.length) for i, row in enumerate(rows)]

    def add_token(row: int, token: int) -> Delta:
        complete = constraints.completes(row, token)
        is_end = token in backbone.end_ids
        return texts[row].add_token(token, backbone.decode, is_end=is_end, complete=complete, decoding=decoding)

    if backbone.encoder_decoder:
        yield from decode_encoder_decoder(
            backbone, rows, decoding, generators, add_token, mask=constraints.mask, cancelled=cancelled
        )
        return
    # Sampling draws from the backbone's own probabilities, unless int8 is requested.
    weights = "own" if decoding.weights == "auto" and decoding.temperature > 0 else decoding.weights
    backbone = optimized(store.backbone, weights)
    # With rounded weights, keys depend on the number of rows run together, so a reply would depend on earlier turns.
    reuse = len(rows) == 1 and backbone.model is optimized(store.backbone, "own").model
    with torch.no_grad():
        inputs = prefill_inputs(store, rows, decoding.max_tokens, reuse=reuse)
        width = inputs.mask.shape[1]
        layer_count = int(backbone.model.config.get_text_config().num_hidden_layers)
        cache = preallocated_cache(layer_count, width + decoding.max_tokens)
        for number, (keys, values) in enumerate(inputs.layers):
            cache.update(keys, values, number)
        adapters = batch_adapters(backbone, [row.adapter for row in rows])
        with apply_adapters(backbone, adapters):
            logits = backbone.model(
                inputs_embeds=inputs.embeddings,
                attention_mask=inputs.mask,
                position_ids=inputs.positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            ).logits[:, -1]
    positions = inputs.positions[:, -1:]
    # Without padding a token sees everything and needs no mask. Otherwise the mask is allocated once, like the cache.
    padded = not bool(inputs.mask.all())
    mask = torch.nn.functional.pad(inputs.mask, (0, decoding.max_tokens), value=1) if padded else None
    for text, cached in zip(texts, inputs.cached, strict=True):
        text.cached_tokens = cached
    # Frees the keys and values, which are in the cache now.
    del inputs
    if reuse:
        store.conversations.add(rows[0], texts[0].ids, cache)
    live = list(range(len(rows)))
    while live and not (cancelled is not None and cancelled()):
        tokens = next_tokens(constraints.mask(logits, live), decoding, [generators[row] for row in live])
        keep = []
        for index, (row, token) in enumerate(zip(live, tokens.tolist(), strict=True)):
            delta = add_token(row, token)
            if delta.reply is None:
                keep.append(index)
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
                adapters = batch_adapters(backbone, [rows[row].adapter for row in live])
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


@dataclass(frozen=True, eq=False, slots=True)
class PrefillInputs:
    """Inputs of the forward pass before the first token of the replies.

    Attributes:
        embeddings: `[batch, new, hidden]`, in the backbone's dtype.
        mask: `[batch, cached + new]`, int64, 0 for padding.
        positions: `[batch, new]`, int64, rotary positions.
        layers: keys and values before the new positions, one pair per layer.
        cached: for each row, the number of positions that are not computed again.
    """

    embeddings: Tensor
    mask: Tensor
    positions: Tensor
    layers: list[LayerKV]
    cached: list[int]


def prefill_inputs(store: PrefixStore, rows: Sequence[Row], max_new_tokens: int, *, reuse: bool) -> PrefillInputs:
    """Combine rows behind the keys and values that exist already.

    Args:
        store: prefix keys and values, the last conversations, and the backbone.
        rows: the encoded prompts.
        max_new_tokens: number of positions for the reply that must fit behind each row.
        reuse: whether a single row may continue an earlier conversation.

    Raises:
        ContextError: if a row and its reply are longer than the backbone's context.
        BackboneError: if the rows cannot run together on this backbone.
    """
    reused = store.reusable_prefix(rows[0]) if reuse and len(rows) == 1 else None
    if reused is None:
        batch = assemble(store, rows, max_new_tokens=max_new_tokens)
        cached = batch.mask[:, : batch.cached_length].sum(dim=1).tolist()
        return PrefillInputs(batch.embeddings, batch.mask, batch.positions, batch.layers(), cached)
    backbone, length = store.backbone, rows[0].length
    require_context(backbone, length, max_new_tokens)
    return PrefillInputs(
        embeddings=reused.embeddings(backbone),
        mask=torch.ones((1, length), dtype=torch.int64, device=backbone.device),
        positions=torch.arange(reused.length, length, device=backbone.device)[None],
        layers=reused.layers,
        cached=[reused.length],
    )
