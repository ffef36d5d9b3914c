"""A graft as a plain Transformers checkpoint, which any engine serves that takes token ids.

The vocabulary grows by one token a soft position. The token's row of the input embedding is the soft vector, so a
prompt with these tokens in the soft slot is what Softgraft computes with vectors in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from prompts import Template
from soft_prompt.artifact import Manifest
from soft_prompt.backbone import Backbone
from soft_prompt.prompt import SoftPrompt


@dataclass(frozen=True)
class HfGraft:
    """One domain of a checkpoint.

    Attributes:
        soft_prompt: of the kind `embedding`, without an adapter.
        template: which the soft prompt was trained with; it gives the texts around the soft slot and its place.
        manifest: of the saved soft prompt, written to `softgraft.json`; None for one that was never saved.
    """

    soft_prompt: SoftPrompt
    template: Template
    manifest: Manifest | None = None


@dataclass(frozen=True)
class HfExport:
    """What was written.

    Attributes:
        folder: the checkpoint.
        tokens: domain to the token ids of its soft positions, in order.
        same_ids: whether the chat template gives the token ids of `encode_prompt`, as tried with texts that are hard to
            tokenise; where it does not, send token ids.
        bytes: size of all files.
    """

    folder: Path
    tokens: Mapping[str, range]
    same_ids: bool
    bytes: int


def export_hf(folder: Path, backbone: Backbone, grafts: Mapping[str, HfGraft]) -> HfExport:
    """Write a checkpoint that answers with grafts.

    Args:
        folder: where to; made if it is not there, and refused if it holds anything.
        backbone: which the soft prompts were trained on.
        grafts: domain name to its graft. The chat template takes the name as the variable `domain`; without it the
            first one answers.

    Raises:
        ArtifactError: the folder is not empty or cannot be written; a soft prompt of the kind `kv` or with an adapter,
            or one that was trained with `block` attention.
        BackboneError: an encoder-decoder, a backbone that scales its embeddings, or one without an unused special token.
    """
    raise NotImplementedError
