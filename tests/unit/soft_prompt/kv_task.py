"""What the tests of `kv` soft prompts train."""

from __future__ import annotations

from soft_prompt import Backbone, PrefixStore, SoftPrompt, kv_from_text_twin


def kv_start(backbone: Backbone, length: int | None = None) -> SoftPrompt:
    """A `kv` soft prompt of all layers, as its text twin stands behind a few words."""
    prefix = backbone.encode_text("Help. Fees: 12.")
    return kv_from_text_twin(PrefixStore(backbone), "domain", "Be brief.", prefix, length)
