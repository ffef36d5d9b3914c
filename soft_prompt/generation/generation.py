"""Generate replies from the frozen backbone: batched or streaming, greedy or sampled, with stop texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from soft_prompt.engine.engine import engine_of
from soft_prompt.engine.engine_model import supports_engine
from soft_prompt.engine.request import Request
from soft_prompt.generation.static_batch import decode_static_batch
from soft_prompt.model.optimized import reads_int8
from soft_prompt.replies.reply import Delta, Reply
from soft_prompt.replies.sampling import Decoding
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

    Rows that several threads decode at the same time share the backbone's forward passes. Closing the iterator stops
    decoding. `cancelled` is checked before each token, also while text is held back; True ends the iterator without a
    reply.
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
        batch_size: maximum number of rows per forward pass. When a reply ends, the next row takes its place.
        on_reply: called after each reply with the number of finished replies.

    Raises:
        ContextError: if a prompt and `max_tokens` do not fit into the backbone's context.
        ConstraintError: if a row's constraint is invalid.
        SoftPromptError: if `batch_size` is below 1.
    """
    decoding = decoding or Decoding()
    replies: dict[int, Reply] = {}
    for delta in decode_batch(store, rows, decoding, batch_size=batch_size):
        if delta.reply is not None:
            replies[delta.row] = delta.reply
            if on_reply is not None:
                on_reply(len(replies))
    return [replies[i] for i in range(len(rows))]


def decode_batch(
    store: PrefixStore,
    rows: Sequence[Row],
    decoding: Decoding,
    *,
    batch_size: int | None = None,
    row_numbers: Sequence[int] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Iterator[Delta]:
    """Decode rows together, at most `batch_size` at a time, and yield every row's new text.

    `row_numbers` seed each row's random generator; by default they are the rows' indices.
    """
    numbers = row_numbers or range(len(rows))
    if not supports_engine(store.backbone):
        yield from decode_static_batch(store, rows, decoding, numbers, batch_size=batch_size, cancelled=cancelled)
        return
    int8 = reads_int8(store.backbone, decoding.weights)
    engine = engine_of(store.backbone, int8=int8)
    # What a conversation leaves is only worth its memory if it goes on, which a batch does not. With rounded weights
    # keys depend on the number of rows that run together, so a reply would depend on how earlier turns were decoded.
    reuse = len(rows) == 1 and not int8
    requests = [Request(store, row, decoding, number, reuse) for number, row in zip(numbers, rows, strict=True)]
    job = engine.submit(requests, limit=batch_size, cancelled=cancelled)
    try:
        yield from job
    finally:
        job.cancel()
