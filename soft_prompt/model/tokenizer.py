"""A tokenizer without its model's weights, and the context length that its model reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from soft_prompt.errors import BackboneError
from soft_prompt.model.weights import backbone_folder
from soft_prompt.tokens.chat_tokens import ChatTokens


@dataclass(frozen=True, eq=False)
class TokenizerAlone(ChatTokens):
    """The tokenizer of a backbone whose weights are not loaded, and the length of its context."""

    id: str
    tokenizer: Any
    max_tokens: int

    @classmethod
    def load(cls, name: str) -> TokenizerAlone:
        """Load the tokenizer of a backbone.

        Args:
            name: `embedded`, a local folder, or a Hugging Face model id.

        Raises:
            BackboneError: not found, or it brings no tokenizer that is supported.
        """
        from transformers import AutoConfig, AutoTokenizer

        folder = backbone_folder(name)
        try:
            context = context_tokens(AutoConfig.from_pretrained(folder))
            return cls(name, AutoTokenizer.from_pretrained(folder), context)
        except (OSError, ValueError, RuntimeError) as error:
            raise BackboneError(
                found=f"the tokenizer of the backbone {name!r} does not load: {str(error).splitlines()[0]}",
                expected="a fast tokenizer that Transformers reads",
                next_step="check `backbone:` in domain.yaml",
            ) from error


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
