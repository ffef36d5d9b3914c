"""Decoding for backbones that the engine cannot run: a batch that no row joins until the last one has ended.

These are encoder-decoders, and decoders with attention code of their own, such as Falcon.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch

from soft_prompt.errors import BackboneError
from soft_prompt.generation.decoder_only import DecoderOnlyPass
from soft_prompt.generation.encoder_decoder import EncoderDecoderPass
from soft_prompt.grammar.constraint import BatchConstraints
from soft_prompt.model.optimized import optimized
from soft_prompt.replies.reply import Delta, ReplyText
from soft_prompt.replies.sampling import Decoding, next_tokens, row_generators
from soft_prompt.rows.batch import require_batch_size
from soft_prompt.rows.encoder_inputs import input_length
from soft_prompt.rows.prefix_store import PrefixStore
from soft_prompt.rows.row import Row

_BATCH = 16


def decode_static_batch(
    store: PrefixStore,
    rows: Sequence[Row],
    decoding: Decoding,
    row_numbers: Sequence[int],
    *,
    batch_size: int | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Iterator[Delta]:
    """Decode rows in batches of similar length and yield every row's new text. A finished row leaves its batch."""
    if batch_size is not None:
        require_batch_size(batch_size)
    order = sorted(range(len(rows)), key=lambda i: rows[i].length)
    size = batch_size or _BATCH
    for start in range(0, len(order), size):
        chosen = order[start : start + size]
        generators = row_generators(decoding, [row_numbers[i] for i in chosen])
        yield from _decode(store, [rows[i] for i in chosen], chosen, decoding, generators, cancelled)


def _decode(
    store: PrefixStore,
    rows: Sequence[Row],
    indices: Sequence[int],
    decoding: Decoding,
    generators: Sequence[torch.Generator],
    cancelled: Callable[[], bool] | None,
) -> Iterator[Delta]:
    backbone = store.backbone
    constraints = BatchConstraints(backbone, [row.constraint for row in rows])
    forward = _start(store, rows, decoding)
    lengths = [input_length(backbone, row) if backbone.encoder_decoder else row.length for row in rows]
    texts = [ReplyText(*given) for given in zip(indices, lengths, forward.cached_tokens, strict=True)]
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
    backbone = optimized(store.backbone, "int8" if decoding.weights == "int8" else "own")
    return DecoderOnlyPass(store, backbone, rows, decoding.max_tokens)
