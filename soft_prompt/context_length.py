"""How many tokens a backbone reads, from its configuration."""

from __future__ import annotations

from typing import Any


def context_tokens(config: Any) -> int:
    """Length of the context in tokens; of an encoder-decoder, of what each of its halves reads.

    Rotary frequencies of the type `longrope` are others beyond the original length, for all rows of a batch at
    once: stored keys would no longer fit, and a long row would change its neighbours. So there the context ends.
    (Those of the type `dynamic` change beyond the whole context only.)
    """
    text = config.get_text_config(encoder=bool(config.is_encoder_decoder) or None)
    whole = int(getattr(text, "max_position_embeddings", 2048))
    stateless = stateless_tokens(config)
    return min(whole, stateless) if stateless else whole


def stateless_tokens(config: Any) -> int | None:
    """Up to how many tokens rotary frequencies stay as they are; None where they never change."""
    text = config.get_text_config(encoder=bool(config.is_encoder_decoder) or None)
    found = getattr(text, "rope_parameters", None) or {}
    # Either the parameters of all layers, or those of each type of layer.
    kinds = [kind for kind in (found, *found.values()) if isinstance(kind, dict)]
    lengths = [k["original_max_position_embeddings"] for k in kinds if k.get("rope_type") == "longrope"]
    return min(map(int, lengths), default=None)
