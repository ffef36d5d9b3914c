"""What a caller should know about a trained domain: that something was changed after training."""

from __future__ import annotations

from pathlib import Path

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
            f"you {again}; see what changed: softgraft prompts diff --domain {typed}"
        )
    if manifest.attention != attention:
        found.append(
            f"the soft prompt was trained with {manifest.attention} attention and answers with it, though domain.yaml "
            f"says {attention}; {again}"
        )
    return found


def example_notices(template: Template, folder: Path) -> list[str]:
    """That a template chooses examples where there are none to choose from.

    Args:
        template: as its file stands now.
        folder: of the domain.
    """
    if not template.chooses_examples or (folder / "train.jsonl").is_file():
        return []
    return [
        f"the template {template.name!r} chooses examples from {folder / 'train.jsonl'}, which is not there, so it "
        "shows none; write some questions with answers to that file"
    ]
