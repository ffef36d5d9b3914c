"""A backbone whose vocabulary has one additional token per soft prompt vector.

The input embedding of a new token is its vector. Its output embedding is that of an unused special token, so its logit
may tie with that token's and never wins. Logits over the old vocabulary do not change.
"""

from __future__ import annotations

import copy
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from prompts import Message, RenderedPrompt
from soft_prompt.errors import BackboneError
from soft_prompt.model.backbone import Backbone

# Settings of families that scale embeddings before the first layer. Other engines may scale them elsewhere.
_EMBEDDING_SCALES = ("embedding_multiplier", "scale_emb", "scale_embedding", "embed_scale")
_NEXT_STEP = "serve it with Softgraft, or train on another backbone: set `backbone:` in domain.yaml"


@dataclass(frozen=True, eq=False)
class ExtendedVocabulary:
    """What a checkpoint with the new tokens consists of.

    Attributes:
        config, generation_config: the backbone's, with the larger vocabulary and untied embeddings.
        state: all weights by name, in the backbone's dtype; input and output embedding are `[tokens, hidden]`.
        tokenizer: a copy with the new tokens.
        names: of the new tokens, one per vector. No text contains one by accident, since they contain `secret`.
        first_id: token id of the first new token.
        unused_id: the special token whose output embedding all new tokens share.
        secret: random hexadecimal digits.
    """

    config: Any
    generation_config: Any
    state: dict[str, Tensor]
    tokenizer: Any
    names: tuple[str, ...]
    first_id: int
    unused_id: int
    secret: str


def extend_vocabulary(backbone: Backbone, vectors: Tensor) -> ExtendedVocabulary:
    """Add one token per vector.

    Args:
        backbone: not changed.
        vectors: `[tokens, hidden]`; cast to the backbone's dtype, as in a prompt.

    Raises:
        BackboneError: if the backbone is an encoder-decoder, scales its embeddings, has more tokens than embeddings, or
            has no unused special token.
    """
    _require_plain_embeddings(backbone)
    model, rows = backbone.model, int(backbone.model.get_input_embeddings().weight.shape[0])
    unused = _unused_token(backbone, rows)
    secret = secrets.token_hex(16)
    names = tuple(f"<|soft-{secret}-{number}|>" for number in range(len(vectors)))
    config = copy.deepcopy(model.config)
    config.vocab_size, config.tie_word_embeddings = rows + len(vectors), False
    generation = copy.deepcopy(model.generation_config)
    generation.suppress_tokens = [*(generation.suppress_tokens or ()), *range(rows, rows + len(vectors))]
    return ExtendedVocabulary(
        config=config,
        generation_config=generation,
        state=_extended_state(model, vectors, unused),
        tokenizer=_extended_tokenizer(backbone, rows, secret, names),
        names=names,
        first_id=rows,
        unused_id=unused,
        secret=secret,
    )


def _require_plain_embeddings(backbone: Backbone) -> None:
    """Refuse a backbone whose input is not the plain embedding of each token."""
    config = backbone.model.config.get_text_config()
    problem = None
    if backbone.encoder_decoder:
        problem = "is an encoder-decoder"
    elif config is not backbone.model.config:
        problem = "reads more than text"
    elif "gemma" in str(config.model_type) or any(getattr(config, name, None) not in (None, False, 1, 1.0)
                                                 for name in _EMBEDDING_SCALES):  # fmt: skip
        problem = "scales its embeddings, each engine in its own way"
    else:
        rows = backbone.model.get_input_embeddings().weight
        if not torch.equal(backbone.embed(range(len(rows))), rows):
            problem = "changes the embeddings of tokens before its first layer"
    if problem:
        raise BackboneError(
            found=f"the backbone {backbone.id!r} ({config.model_type}) {problem}",
            expected="a decoder-only model that uses the embeddings of tokens as they are, such as Llama or Qwen",
            next_step=_NEXT_STEP,
        )


def _unused_token(backbone: Backbone, rows: int) -> int:
    """The special token with the lowest logit among those that neither end an answer nor occur in the chat template."""
    tokenizer = backbone.tokenizer
    turns = RenderedPrompt((Message("system", ()), Message("user", ()), Message("assistant", ()), Message("user", ())))
    used = set(backbone.encode_control("".join(backbone.control_texts(turns)[0])))
    special = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    free = sorted(number for number in special - used - backbone.end_ids if number < rows)
    if not free or len(tokenizer) > rows:
        raise BackboneError(
            found=f"the backbone {backbone.id!r} has {len(tokenizer)} tokens, {rows} embeddings and {len(free)} unused "
            "special tokens",
            expected="an embedding for every token, and an unused special token, whose output embedding the new tokens "
            "share",
            next_step=_NEXT_STEP,
        )
    with torch.no_grad():
        ids = backbone.encode_control(backbone.control_texts(RenderedPrompt((Message("user", ()),)))[0][-1])
        prompt = torch.tensor([ids or [0]], device=backbone.device)
        logits = backbone.model(input_ids=prompt, use_cache=False).logits[0].float().mean(0)
    lowest: int = min(free, key=lambda number: float(logits[number]))
    return lowest


def _extended_state(model: Any, vectors: Tensor, unused: int) -> dict[str, Tensor]:
    """All weights, with the new tokens in the input and output embeddings."""
    state: dict[str, Tensor] = dict(model.state_dict())
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    names = {module: name for name, module in model.named_modules(remove_duplicate=False)}
    rows, last = embedding.weight.detach(), head.weight.detach()
    new = vectors.detach().to(device=rows.device, dtype=rows.dtype)
    state[f"{names[embedding]}.weight"] = torch.cat((rows, new))
    state[f"{names[head]}.weight"] = torch.cat((last, last[unused].expand(len(new), -1)))
    if head.bias is not None:
        state[f"{names[head]}.bias"] = torch.cat((head.bias.detach(), head.bias.detach()[unused].expand(len(new))))
    return state


def _extended_tokenizer(backbone: Backbone, rows: int, secret: str, names: Sequence[str]) -> Any:
    """A copy of the tokenizer whose new tokens have the ids of the new embeddings."""
    from tokenizers import AddedToken

    tokenizer = copy.deepcopy(backbone.tokenizer)
    # Embeddings without a token get one each; otherwise the ids of the new tokens would be too small.
    fill = [f"<|fill-{secret}-{number}|>" for number in range(rows - len(tokenizer))]
    tokenizer.add_tokens([AddedToken(n, special=True, normalized=False) for n in [*fill, *names]], special_tokens=True)
    ids = tokenizer.convert_tokens_to_ids(list(names))
    if ids != list(range(rows, rows + len(names))):
        raise BackboneError(
            found=f"the tokenizer of {backbone.id!r} numbers new tokens from {ids[0]}",
            expected=f"from {rows}, the number of embeddings",
            next_step=_NEXT_STEP,
        )
    return tokenizer
