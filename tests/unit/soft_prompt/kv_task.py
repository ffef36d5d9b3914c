"""The `kv` soft prompt that tests train."""

from __future__ import annotations

from soft_prompt import Backbone, SoftPrompt, kv_from_text_twin

PREFIX = "Help. Fees: 12."


def kv_start(backbone: Backbone, length: int | None = None) -> SoftPrompt:
    """A `kv` soft prompt of all layers: its text twin behind a short prefix."""
    return kv_from_text_twin(backbone, "domain", "Be brief.", backbone.encode_text(PREFIX), length)
