"""The manifest of a domain's soft prompt, wherever its vectors come from."""

from __future__ import annotations

from collections.abc import Mapping

from prompts import Template
from soft_prompt import Attention, Backbone, Manifest, Scores, SoftPrompt
from soft_prompt.artifact import FORMAT_VERSION


def manifest_of(
    soft_prompt: SoftPrompt,
    backbone: Backbone,
    template: Template,
    *,
    attention: Attention,
    objective: str,
    seed: int,
    data_hash: str,
    train: Mapping[str, bool | float | int | str | None],
    scores: Scores,
    adapter_layers: int | None = None,
) -> Manifest:
    """What is saved beside a soft prompt; the digest of its vectors is put in when they are written.

    Args:
        soft_prompt: of the domain.
        backbone: which it belongs to.
        template: which it was trained or measured with.
        attention, objective, seed, data_hash, train, scores: as in `Manifest`.
        adapter_layers: for the kind `adapter`, how many of the last layers have weights beside them; None for all.
    """
    adapter = soft_prompt.adapter
    # Trained all, a `kv` soft prompt names no number, nor does it hold layers below.
    layers = soft_prompt.vectors.shape[0] if soft_prompt.lower is not None else None
    return Manifest(
        format_version=FORMAT_VERSION,
        kind=soft_prompt.kind,
        slot=soft_prompt.slot,
        length=soft_prompt.length,
        hidden_size=backbone.hidden_size,
        shape=list(soft_prompt.vectors.shape),
        adapter=adapter.form if adapter else None,
        adapter_rank=adapter.rank or None if adapter else None,
        layers=adapter_layers if soft_prompt.kind == "adapter" else layers,
        text_twin=soft_prompt.text_twin,
        template_name=template.name,
        template_version=template.version,
        template_hash=template.content_hash,
        backbone=backbone.id,
        backbone_digest=backbone.digest,
        tokenizer_hash=backbone.tokenizer_hash,
        attention=attention,
        objective=objective,
        seed=seed,
        data_hash=data_hash,
        train=dict(train),
        scores=scores,
        vectors_sha256="",
    )
