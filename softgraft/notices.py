"""What a caller should know about a trained domain: that something was changed after training."""

from __future__ import annotations

from prompts import Template
from soft_prompt import Attention, Manifest


def training_notices(manifest: Manifest, template: Template, attention: Attention, typed: str) -> list[str]:
    """What has changed since the soft prompt was trained.

    Args:
        manifest: of the soft prompt.
        template: as its file stands now.
        attention: as domain.yaml says now.
        typed: what a person types for the domain.
    """
    again = f"train again: softgraft train {typed}"
    if manifest.slot not in template.soft_slots:
        return [
            f"the template {template.name!r} has no slot {manifest.slot!r}, so the soft prompt is not used and its "
            f"text twin is; {again}"
        ]
    found = []
    if manifest.template_hash != template.content_hash:
        found.append(
            f"the template {template.name!r} was edited after the soft prompt was trained; answers may suffer until "
            f"you {again}"
        )
    if manifest.attention != attention:
        found.append(
            f"the soft prompt was trained with {manifest.attention} attention and answers with it, though domain.yaml "
            f"says {attention}; {again}"
        )
    return found
