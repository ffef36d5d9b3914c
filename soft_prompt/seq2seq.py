"""Encoder-decoders (T5, Raffel et al. 2020, arXiv:1910.10683): the soft slot stands in what the encoder reads.

An encoder reads in both directions, so what stands before the slot depends on it: there is no prefix to store, and
only the `embedding` kind can stand there. Rows are padded at the right, where neither relative nor absolute positions
of an encoder notice it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from soft_prompt.backbone import Backbone
from soft_prompt.encode import Row
from soft_prompt.errors import BackboneError, ContextError
from soft_prompt.prompt import SoftPrompt
from soft_prompt.sampling import Decoding, next_tokens, row_generators

if TYPE_CHECKING:
    from soft_prompt.forward import Example

_IGNORED = -100


class Said(Protocol):
    """What a row has said with one more token."""

    @property
    def text(self) -> str:
        """New text."""

    @property
    def reply(self) -> object | None:
        """Set with the last of it."""


S = TypeVar("S", bound=Said)


def encoder_decoder_loss(backbone: Backbone, examples: Sequence[Example]) -> tuple[Tensor, int]:
    """Summed cross entropy of the answers, and how many tokens were summed, as `answer_loss` gives them.

    The decoder reads nothing but the answers, so logits are made at answer positions only.

    Raises:
        ContextError: a prompt or an answer is longer than the backbone's context.
        BackboneError: a prompt has a `kv` soft prompt or an adapter.
    """
    embeddings, mask = _inputs(backbone, [e.row for e in examples], max(len(e.answer) for e in examples))
    answers = [torch.tensor(example.answer, device=backbone.device) for example in examples]
    labels = torch.nn.utils.rnn.pad_sequence(answers, batch_first=True, padding_value=_IGNORED)
    start = labels.new_full((len(examples), 1), _start_id(backbone))
    read = torch.cat((start, labels[:, :-1]), dim=1)
    logits = backbone.model(
        inputs_embeds=embeddings,
        attention_mask=mask,
        # Behind an answer its row says nothing that counts, so any id may stand there.
        decoder_input_ids=read.masked_fill(read == _IGNORED, 0),
        use_cache=False,
    ).logits.float()
    loss = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), ignore_index=_IGNORED, reduction="sum"
    )
    return loss, sum(len(example.answer) for example in examples)


def decode_answers(
    backbone: Backbone,
    rows: Sequence[Row],
    decoding: Decoding,
    numbers: Sequence[int],
    say: Callable[[int, int], S],
    *,
    mask: Callable[[Tensor, Sequence[int]], Tensor],
    cancelled: Callable[[], bool] | None = None,
) -> Iterator[S]:
    """Decode rows together; a finished row leaves the batch.

    Args:
        backbone: an encoder-decoder.
        rows: the encoded prompts.
        decoding: how.
        numbers: the rows' own numbers, from which their random generators are seeded.
        say: takes a row's place and its next token, and gives what is new in its text.
        mask: takes logits `[rows, vocabulary]` and the rows' places, and rules out what may not come next.
        cancelled: asked before each token; true ends the iterator.

    Yields:
        What `say` gave, where it has text or a finished reply.

    Raises:
        ContextError: a prompt or `max_tokens` is longer than the backbone's context.
        BackboneError: a prompt has a `kv` soft prompt or an adapter.
    """
    with torch.no_grad():
        embeddings, seen = _inputs(backbone, rows, decoding.max_tokens)
        states = backbone.model.get_encoder()(inputs_embeds=embeddings, attention_mask=seen).last_hidden_state
    # A cache made from a config would cut layers with sliding windows.
    cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
    tokens = torch.full((len(rows),), _start_id(backbone), device=backbone.device)
    generators = row_generators(decoding, numbers)
    live = list(range(len(rows)))
    while live and not (cancelled is not None and cancelled()):
        with torch.no_grad():
            logits = backbone.model(
                encoder_outputs=BaseModelOutput(last_hidden_state=states),
                attention_mask=seen,
                decoder_input_ids=tokens[:, None],
                past_key_values=cache,
                use_cache=True,
            ).logits[:, -1]
            tokens = next_tokens(mask(logits, live), decoding, [generators[row] for row in live])
        keep = []
        for place, (row, token) in enumerate(zip(live, tokens.tolist(), strict=True)):
            said = say(row, token)
            if said.reply is None:
                keep.append(place)
            if said.text or said.reply is not None:
                yield said
        if len(keep) < len(live):
            kept = torch.tensor(keep, dtype=torch.int64, device=backbone.device)
            live = [live[place] for place in keep]
            tokens, states, seen = tokens[kept], states[kept], seen[kept]
            cache.batch_select_indices(kept)


def input_length(backbone: Backbone, row: Row) -> int:
    """Positions that the encoder reads, with those that the tokenizer puts around every input."""
    before, after = _frame(backbone)
    return len(before) + row.length + len(after)


def _inputs(backbone: Backbone, rows: Sequence[Row], answer: int) -> tuple[Tensor, Tensor]:
    """Embeddings `[batch, tokens, hidden]` in the backbone's dtype, differentiable in the vectors, and their mask."""
    longest = max(max(input_length(backbone, row) for row in rows), answer)
    if longest > backbone.max_tokens:
        raise ContextError(
            found=f"a prompt or an answer of {longest} tokens",
            expected=f"at most {backbone.max_tokens} tokens each for the backbone {backbone.id!r}",
            next_step="lower `evidence_tokens` or `max_tokens` in domain.yaml, or ask a shorter question",
        )
    embedded = [_embed(backbone, row) for row in rows]
    padded = torch.nn.utils.rnn.pad_sequence(embedded, batch_first=True)
    ones = [torch.ones(len(row), dtype=torch.int64, device=backbone.device) for row in embedded]
    return padded, torch.nn.utils.rnn.pad_sequence(ones, batch_first=True)


def _embed(backbone: Backbone, row: Row) -> Tensor:
    """A whole row as the encoder reads it, `[tokens, hidden]`."""
    before, after = _frame(backbone)
    found = []
    for part in (before, row.prefix, *row.suffix, after):
        if isinstance(part, SoftPrompt):
            if part.kind == "kv":
                backbone.require_decoder_only("a kv soft prompt")
            if part.adapter is not None:
                backbone.require_decoder_only("an adapter")
            found.append(part.vectors.to(device=backbone.device, dtype=backbone.dtype))
        elif part:
            found.append(backbone.embed(part))
    return torch.cat(found)


def _frame(backbone: Backbone) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What the tokenizer puts before and behind every input: T5's ends inputs with an end token."""
    probe = "a"
    bare = backbone.tokenizer.encode(probe, add_special_tokens=False)
    framed = backbone.tokenizer.encode(probe, add_special_tokens=True)
    for first in range(len(framed) - len(bare) + 1):
        if framed[first : first + len(bare)] == bare:
            return tuple(framed[:first]), tuple(framed[first + len(bare) :])
    return (), ()


def _start_id(backbone: Backbone) -> int:
    """The token id that the decoder reads first."""
    found = backbone.model.generation_config.decoder_start_token_id
    found = getattr(backbone.model.config, "decoder_start_token_id", None) if found is None else found
    if found is None:
        raise BackboneError(
            found=f"the backbone {backbone.id!r} names no token for its decoder to start with",
            expected="`decoder_start_token_id` in its config",
            next_step="choose another backbone in domain.yaml",
        )
    return int(found)
