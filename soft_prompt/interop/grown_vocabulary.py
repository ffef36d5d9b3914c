"""A backbone whose vocabulary has one more token for each of some vectors.

A new token's row of the input embedding is its vector. Its row of the head is that of a special token which nothing
uses, so its logit may tie with that token's and never wins; logits over the old vocabulary stay what they were.
"""

from __future__ import annotations

import copy
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from soft_prompt.errors import BackboneError
from soft_prompt.model.backbone import Backbone

# Set by families that multiply embeddings before the first layer; another engine may do so at another place.
_SCALES = ("embedding_multiplier", "scale_emb", "scale_embedding", "embed_scale")
_ANOTHER = "serve it with Softgraft, or train on another backbone: set `backbone:` in domain.yaml"


@dataclass(frozen=True, eq=False)
class GrownVocabulary:
    """What a checkpoint needs beside the backbone's own weights.

    Attributes:
        config, generation_config: the backbone's, for the larger vocabulary and with a head of its own.
        state: all weights by name, in the backbone's dtype; `[rows, hidden]` for embedding and head, old rows first.
        tokenizer: a copy with the new tokens, as many tokens as there are rows.
        names: of the new tokens, one a vector, such that no text holds one by chance or by guessing.
        first_id: token id of the first of them.
        twin_id: the token whose row of the head all of them share.
        secret: hexadecimal digits that stand in every new name.
    """

    config: Any
    generation_config: Any
    state: dict[str, Tensor]
    tokenizer: Any
    names: tuple[str, ...]
    first_id: int
    twin_id: int
    secret: str


def grow_vocabulary(backbone: Backbone, vectors: Tensor) -> GrownVocabulary:
    """Give each of some vectors a token.

    Args:
        backbone: stays as it is.
        vectors: `[tokens, hidden]`; cast to the backbone's dtype, as in a prompt.

    Raises:
        BackboneError: an encoder-decoder, a backbone that scales its embeddings, one with more tokens than rows, or one
            without a special token that is never used.
    """
    _require_plain_embeddings(backbone)
    model, rows = backbone.model, int(backbone.model.get_input_embeddings().weight.shape[0])
    twin = _unused_token(backbone, rows)
    secret = secrets.token_hex(16)
    names = tuple(f"<|soft-{secret}-{number}|>" for number in range(len(vectors)))
    config = copy.deepcopy(model.config)
    config.vocab_size, config.tie_word_embeddings = rows + len(vectors), False
    generation = copy.deepcopy(model.generation_config)
    suppressed = [*(generation.suppress_tokens or ()), *range(rows, rows + len(vectors))]
    generation.suppress_tokens = suppressed
    return GrownVocabulary(
        config=config,
        generation_config=generation,
        state=_grown_state(model, vectors, twin),
        tokenizer=_grown_tokenizer(backbone, rows, secret, names),
        names=names,
        first_id=rows,
        twin_id=twin,
        secret=secret,
    )


def _require_plain_embeddings(backbone: Backbone) -> None:
    """Refuse a backbone that makes of a token's row something else than its embedding."""
    config = backbone.model.config.get_text_config()
    found = None
    if backbone.encoder_decoder:
        found = "is an encoder-decoder"
    elif config is not backbone.model.config:
        found = "reads more than text"
    elif "gemma" in str(config.model_type) or any(getattr(config, name, None) not in (None, False, 1, 1.0)
                                                 for name in _SCALES):  # fmt: skip
        found = "scales its embeddings, each engine in its own way"
    else:
        rows = backbone.model.get_input_embeddings().weight
        if not torch.equal(backbone.embed(range(len(rows))), rows):
            found = "embeds a token as something else than its row of the embedding"
    if found:
        raise BackboneError(
            found=f"the backbone {backbone.id!r} ({config.model_type}) {found}",
            expected="a causal language model that takes the rows of its embedding as they are, such as Llama or Qwen",
            next_step=_ANOTHER,
        )


def _unused_token(backbone: Backbone, rows: int) -> int:
    """The special token with the lowest logit of those that neither end an answer nor stand in the chat template."""
    tokenizer = backbone.tokenizer
    written = set(backbone.encode_control("".join(backbone.chat_controls(("system", "user", "assistant", "user")))))
    special = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    free = sorted(number for number in special - written - backbone.end_ids if number < rows)
    if not free or len(tokenizer) > rows:
        raise BackboneError(
            found=f"the backbone {backbone.id!r} has {len(tokenizer)} tokens in {rows} rows of its embedding, and "
            f"{len(free)} special tokens that neither its chat template writes nor an answer ends with",
            expected="a row for every token, and one such special token, whose row of the head the new tokens share",
            next_step=_ANOTHER,
        )
    with torch.no_grad():
        read = backbone.encode_control(backbone.chat_controls(("user",))[-1])
        ids = torch.tensor([read or [0]], device=backbone.device)
        logits = backbone.model(input_ids=ids, use_cache=False).logits[0].float().mean(0)
    lowest: int = min(free, key=lambda number: float(logits[number]))
    return lowest


def _grown_state(model: Any, vectors: Tensor, twin: int) -> dict[str, Tensor]:
    """All weights, embedding and head with rows for the vectors."""
    state: dict[str, Tensor] = dict(model.state_dict())
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    names = {module: name for name, module in model.named_modules(remove_duplicate=False)}
    rows, last = embedding.weight.detach(), head.weight.detach()
    new = vectors.detach().to(device=rows.device, dtype=rows.dtype)
    state[f"{names[embedding]}.weight"] = torch.cat((rows, new))
    state[f"{names[head]}.weight"] = torch.cat((last, last[twin].expand(len(new), -1)))
    if head.bias is not None:
        state[f"{names[head]}.bias"] = torch.cat((head.bias.detach(), head.bias.detach()[twin].expand(len(new))))
    return state


def _grown_tokenizer(backbone: Backbone, rows: int, secret: str, names: Sequence[str]) -> Any:
    """A copy of the tokenizer with the new tokens behind all rows of the embedding."""
    from tokenizers import AddedToken

    tokenizer = copy.deepcopy(backbone.tokenizer)
    # Rows without a token get one each, or the new ids would not be those of the new rows.
    fill = [f"<|fill-{secret}-{number}|>" for number in range(rows - len(tokenizer))]
    tokenizer.add_tokens([AddedToken(n, special=True, normalized=False) for n in [*fill, *names]], special_tokens=True)
    found = tokenizer.convert_tokens_to_ids(list(names))
    if found != list(range(rows, rows + len(names))):
        raise BackboneError(
            found=f"the tokenizer of {backbone.id!r} numbers new tokens from {found[0]}",
            expected=f"from {rows}, the number of rows of the embedding",
            next_step=_ANOTHER,
        )
    return tokenizer
