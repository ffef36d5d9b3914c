"""A backbone's tokenizer without its weights, and the length of its context."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from soft_prompt.model.model_folder import check_model_folder, load_error
from soft_prompt.model.weights import EMBEDDED, backbone_folder
from soft_prompt.tokens.chat_tokenizer import ChatTokenizer


@dataclass(frozen=True, eq=False)
class BackboneTokenizer(ChatTokenizer):
    """The tokenizer of a backbone whose weights are not loaded, and the length of its context in tokens."""

    id: str
    tokenizer: Any
    context_length: int

    @classmethod
    def load(cls, name: str) -> BackboneTokenizer:
        """Load the tokenizer of a backbone, named as in `Backbone.load`.

        Raises:
            BackboneError: if the backbone does not exist, or has no tokenizer that is supported.
        """
        from transformers import AutoConfig, AutoTokenizer

        folder = backbone_folder(name)
        if name != EMBEDDED:
            check_model_folder(folder)
        try:
            length = context_length(AutoConfig.from_pretrained(folder, trust_remote_code=False))
            return cls(name, AutoTokenizer.from_pretrained(folder, trust_remote_code=False), length)
        except Exception as error:  # settings of a foreign model may make Transformers raise anything
            expected = "a fast tokenizer that Transformers reads"
            raise load_error(f"the tokenizer of the backbone {name!r}", expected, error) from error


def context_length(config: Any) -> int:
    """Length of the context in tokens; of an encoder-decoder, the length for each of its halves.

    For rotary positions of the type `longrope` the context ends at the original length. Beyond it the frequencies
    change for all rows of a batch at once: stored keys would no longer fit, and a long row would change its
    neighbours. (The type `dynamic` changes frequencies beyond the whole context only.)
    """
    text = config.get_text_config(encoder=bool(config.is_encoder_decoder) or None)
    length = int(getattr(text, "max_position_embeddings", 2048))
    original = original_context_length(config)
    return min(length, original) if original else length


def original_context_length(config: Any) -> int | None:
    """Number of tokens up to which `longrope` frequencies stay the same; None for other rotary positions."""
    text = config.get_text_config(encoder=bool(config.is_encoder_decoder) or None)
    parameters = getattr(text, "rope_parameters", None) or {}
    # Either the parameters of all layers, or those of each type of layer.
    candidates = [entry for entry in (parameters, *parameters.values()) if isinstance(entry, dict)]
    lengths = [c["original_max_position_embeddings"] for c in candidates if c.get("rope_type") == "longrope"]
    return min(map(int, lengths), default=None)
