"""What the tests of `kv` soft prompts train."""

from __future__ import annotations

from soft_prompt import Backbone, SoftPrompt, kv_from_text_twin

PREFIX = "Help. Fees: 12."


def kv_start(backbone: Backbone, length: int | None = None) -> SoftPrompt:
    """A `kv` soft prompt of all layers, as its text twin stands behind a few words."""
    return kv_from_text_twin(backbone, "domain", "Be brief.", backbone.encode_text(PREFIX), length)
