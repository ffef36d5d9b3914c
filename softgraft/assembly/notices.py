"""Notices for the user: what changed after training, and which files are missing."""

from __future__ import annotations

from pathlib import Path

from evaluation.rows import split_file
from prompts import Template
from soft_prompt import Attention, Manifest


def training_notices(manifest: Manifest, template: Template, attention: Attention, cli_name: str) -> list[str]:
    """What changed since the soft prompt was trained; `attention` is the current setting in domain.yaml."""
    train_again = f"train again: softgraft train {cli_name}"
    if manifest.slot not in template.soft_slots:
        return [
            f"the template {template.name!r} has no slot {manifest.slot!r}, so its text twin is used instead of the "
            f"soft prompt; {train_again}"
        ]
    notices = []
    if manifest.template_hash != template.content_hash:
        notices.append(
            f"the template {template.name!r} was edited after the soft prompt was trained; answers may suffer until "
            f"you {train_again}; see what changed: softgraft prompts diff --domain {cli_name}"
        )
    if manifest.attention != attention:
        notices.append(
            f"the soft prompt was trained with {manifest.attention} attention and uses it, although domain.yaml says "
            f"{attention}; {train_again}"
        )
    return notices


def example_notices(template: Template, folder: Path) -> list[str]:
    """A notice if the template shows examples from train.jsonl and the domain's folder does not contain it."""
    if not template.chooses_examples or split_file(folder, "train").is_file():
        return []
    return [
        f"the template {template.name!r} chooses examples from {folder / 'train.jsonl'}, which does not exist, so it "
        "shows none; write some questions with answers to that file"
    ]
