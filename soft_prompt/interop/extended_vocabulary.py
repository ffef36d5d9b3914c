"""A backbone whose vocabulary has one additional token per soft prompt vector.

The input embedding of a new token is its vector. Its output embedding is that of an unused special token, so its logit
may tie with that token's and never wins. Logits over the old vocabulary do not change.
"""

from __future__ import annotations

import copy
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor

from prompts import Message, RenderedPrompt, Template
from soft_prompt.artifact.manifest import Manifest
from soft_prompt.errors import ArtifactError, BackboneError
from soft_prompt.graft.prompt import SoftPrompt
from soft_prompt.model.backbone import Backbone

# Settings of families that scale embeddings before the first layer. Other engines may scale them elsewhere.
_SCALES = ("embedding_multiplier", "scale_emb", "scale_embedding", "embed_scale")
_NEXT_STEP = "serve it with Softgraft, or train on another backbone: set `backbone:` in domain.yaml"


@dataclass(frozen=True)
class HfGraft:
    """One domain of a checkpoint.

    Attributes:
        soft_prompt: of the kind `embedding`, without an adapter.
        template: that the soft prompt was trained with.
        manifest: of the saved soft prompt, written to `softgraft.json`; None if it was never saved.
    """

    soft_prompt: SoftPrompt
    template: Template
    manifest: Manifest | None = None


@dataclass(frozen=True, eq=False)
class ExtendedVocabulary:
    """What a checkpoint with the new tokens consists of.

    Attributes:
        backbone: the original; not changed.
        grafts: by domain name.
        config, generation_config: the backbone's, with the larger vocabulary and untied embeddings.
        state: all weights by name, in the backbone's dtype; input and output embedding are `[tokens, hidden]`.
        tokenizer: a copy with the new tokens. No text contains one by accident, since their names contain `secret`.
        tokens: by domain, the token ids of its soft prompt.
        unused_id: the special token whose output embedding all new tokens share.
        secret: random hexadecimal digits.
    """

    backbone: Backbone
    grafts: Mapping[str, HfGraft]
    config: Any
    generation_config: Any
    state: dict[str, Tensor]
    tokenizer: Any
    tokens: Mapping[str, range]
    unused_id: int
    secret: str


def extend_vocabulary(backbone: Backbone, grafts: Mapping[str, HfGraft]) -> ExtendedVocabulary:
    """Add one token per vector of the grafts, which are cast to the backbone's dtype, as in a prompt.

    Raises:
        ArtifactError: if a soft prompt is of the kind `kv`, has an adapter or was trained with `block` attention.
        BackboneError: if the backbone is an encoder-decoder, scales its embeddings, has more tokens than embeddings, or
            has no unused special token.
    """
    for name, graft in grafts.items():
        _require_vectors_alone(name, graft)
    _require_plain_embeddings(backbone)
    vectors = torch.cat([graft.soft_prompt.vectors for graft in grafts.values()])
    model, rows = backbone.model, int(backbone.model.get_input_embeddings().weight.shape[0])
    unused = _unused_token(backbone, rows)
    secret = secrets.token_hex(16)
    names = [f"<|soft-{secret}-{number}|>" for number in range(len(vectors))]
    ends = pairwise(accumulate((graft.soft_prompt.length for graft in grafts.values()), initial=rows))
    config = copy.deepcopy(model.config)
    config.vocab_size, config.tie_word_embeddings = rows + len(vectors), False
    generation = copy.deepcopy(model.generation_config)
    generation.suppress_tokens = [*(generation.suppress_tokens or ()), *range(rows, rows + len(vectors))]
    return ExtendedVocabulary(
        backbone=backbone,
        grafts=grafts,
        config=config,
        generation_config=generation,
        state=_extended_state(model, vectors, unused),
        tokenizer=_extended_tokenizer(backbone, rows, secret, names),
        tokens={name: range(*pair) for name, pair in zip(grafts, ends, strict=True)},
        unused_id=unused,
        secret=secret,
    )


def _require_vectors_alone(name: str, graft: HfGraft) -> None:
    """Refuse a graft that needs more than vectors among the embeddings."""
    soft, block = graft.soft_prompt, graft.manifest is not None and graft.manifest.attention == "block"
    if soft.kind != "embedding" or soft.adapter is not None or block:
        raise ArtifactError(
            found=f"the soft prompt of {name!r} is of the kind {soft.kind!r}"
            + (" with an adapter" if soft.adapter is not None else "")
            + (", trained with `block` attention" if block else ""),
            expected="one of the kind `embedding`, without an adapter, trained with `exact` attention: other engines "
            "support tokens alone",
            next_step="softgraft train DOMAIN --kind embedding --adapter none"
            + (", with `attention: exact` in domain.yaml" if block else ""),
        )


def _require_plain_embeddings(backbone: Backbone) -> None:
    """Refuse a backbone whose input is not the plain embedding of each token."""
    config = backbone.model.config.get_text_config()
    problem = None
    if backbone.encoder_decoder:
        problem = "is an encoder-decoder"
    elif config is not backbone.model.config:
        problem = "reads more than text"
    elif "gemma" in str(config.model_type) or any(getattr(config, name, 1) not in (None, 0, 1) for name in _SCALES):
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
            expected="an embedding for every token, and an unused special token, whose output embedding new ones share",
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


def _extended_tokenizer(backbone: Backbone, rows: int, secret: str, names: list[str]) -> Any:
    """A copy of the tokenizer whose new tokens have the ids of the new embeddings."""
    from tokenizers import AddedToken

    tokenizer = copy.deepcopy(backbone.tokenizer)
    # Embeddings without a token get one each; otherwise the ids of the new tokens would be too small.
    fill = [f"<|fill-{secret}-{number}|>" for number in range(rows - len(tokenizer))]
    tokenizer.add_tokens([AddedToken(n, special=True, normalized=False) for n in [*fill, *names]], special_tokens=True)
    ids = tokenizer.convert_tokens_to_ids(names)
    if ids != list(range(rows, rows + len(names))):
        raise BackboneError(
            found=f"the tokenizer of {backbone.id!r} numbers new tokens from {ids[0]}",
            expected=f"from {rows}, the number of embeddings",
            next_step=_NEXT_STEP,
        )
    return tokenizer
