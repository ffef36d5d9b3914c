"""A request in the engine: its place in memory, its prompt, and its reply so far."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from soft_prompt.engine.block_pool import BLOCK, BlockPool
from soft_prompt.engine.engine_model import RowInput
from soft_prompt.engine.layout import RowTokens
from soft_prompt.engine.request import Job, Request
from soft_prompt.engine.run_table import RunTable
from soft_prompt.grammar.constraint import Matcher
from soft_prompt.replies.reply import Delta, ReplyText
from soft_prompt.replies.sampling import row_generators
from soft_prompt.rows.batch import require_context, running_suffix
from soft_prompt.rows.row import RowPart, embed_parts
from soft_prompt.rows.runs import Run


class Running:
    """One request from its submission to its end.

    Making one checks the request. `matcher`, of its constraint, is made when the request starts, if it is not given.

    Raises:
        ContextError: if the prompt and its reply are longer than the backbone's context.
        BackboneError: if a `kv` soft prompt is not in the first soft slot.
    """

    def __init__(self, job: Job, index: int, request: Request, matcher: Matcher | None = None) -> None:
        backbone, row, decoding = request.store.backbone, request.row, request.decoding
        require_context(backbone, row.length, decoding.max_tokens)
        self.job, self.request, self.adapter = job, request, row.adapter
        self.matcher = matcher
        [self.generator] = row_generators(decoding, [request.number])
        self.text = ReplyText(index, row.length)
        self.group = request.group
        self.runs: tuple[Run, ...] = ()
        self.blocks: list[int] = []
        # Own tokens with keys and values.
        self.done = 0
        # Embeddings of own tokens that have not run.
        self.waiting: Tensor | None = None
        self._opening: Iterator[None] | None = None
        self._parts = running_suffix(row)
        # The largest number of blocks that the request can need. A plain prompt that continues a conversation runs
        # its prefix too, from where the conversation differs.
        own = row.length if request.reuse and not row.cuts and row.kv_prompt is None else row.run_length
        self.reserved = -(-(own + decoding.max_tokens) // BLOCK)

    @property
    def start(self) -> int:
        """Position of the first own token."""
        return sum(run.length for run in self.runs)

    @property
    def decoding(self) -> bool:
        """Whether the prompt has run, so that one token follows the other."""
        return bool(self.text.ids)

    def open(self, table: RunTable) -> bool:
        """Look up or compute one more segment of the prefix. Returns whether the prompt can run now."""
        if self._opening is None:
            self._opening = self._open(table)
        next(self._opening, None)
        return self.waiting is not None

    def _open(self, table: RunTable) -> Iterator[None]:
        store, row = self.request.store, self.request.row
        if row.constraint is not None and self.matcher is None:
            self.matcher = row.constraint.matcher(store.backbone)
        reused = store.reusable_prefix(row) if self.request.reuse else None
        parts: Sequence[RowPart] = self._parts
        if reused is not None:
            self.runs, parts, self.text.cached_tokens = reused.runs, reused.rest, reused.length
        else:
            runs = []
            for run in table.of_row(store, row):
                runs.append(run)
                yield
            self.runs, self.text.cached_tokens = tuple(runs), len(row.prefix)
        self.waiting = embed_parts(store.backbone, parts)

    def next_input(self, pool: BlockPool, at_most: int) -> RowInput:
        """The row's next tokens: its last one, or a slice of its prompt."""
        assert self.waiting is not None
        new = self.waiting[:at_most]
        count = len(new)
        while len(self.blocks) * BLOCK < self.done + count:
            self.blocks.append(pool.take())
        tokens = RowTokens(self.runs, self.start, self.done, count, self.blocks)
        return RowInput(tokens, new, self.adapter, wants_logits=count == len(self.waiting))

    def advance(self, ran: int) -> None:
        """Some tokens have run."""
        assert self.waiting is not None
        self.done += ran
        self.waiting = self.waiting[ran:]

    def add_token(self, token: int) -> Delta:
        """Append a token to the reply. If the reply is complete, the delta has it."""
        backbone, decoding = self.request.store.backbone, self.request.decoding
        complete = self.matcher is not None and self.matcher.accept(token)
        is_end = token in backbone.end_ids
        delta = self.text.add_token(token, backbone.decode, is_end=is_end, complete=complete, decoding=decoding)
        if delta.reply is None:
            self.waiting = backbone.embed([token])
        return delta

    def remember(self, pool: BlockPool) -> None:
        """Let the conversation's next turn reuse what has run."""
        conversations = self.request.store.conversations
        # A prompt that was cancelled may end in the middle of a soft prompt, which cannot be split.
        if self.request.reuse and self.decoding and conversations.keeps(self.request.row):
            blocks = torch.tensor(self.blocks, device=pool.keys[0].device)
            layers = []
            for layer in range(pool.layers):
                keys, values = pool.positions(layer, blocks, 1)
                layers.append((keys[0, :, : self.done].contiguous(), values[0, :, : self.done].contiguous()))
            own = Run(self.start, self.done, tuple(layers))
            conversations.add(self.request.row, self.text.ids, (*self.runs, own))

    def release(self, pool: BlockPool) -> None:
        """Give back the memory."""
        pool.give_back(self.blocks)
        self.blocks, self.runs, self.waiting, self._opening = [], (), None, None
