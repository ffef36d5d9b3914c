"""Saved soft prompts to test with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from oracle import some_soft_prompt

from soft_prompt import (
    Backbone,
    DevScores,
    Manifest,
    SoftPrompt,
    load_soft_prompt,
    save_soft_prompt,
)
from soft_prompt.artifact.manifest import FORMAT_VERSION
from soft_prompt.artifact.saved_folder import MANIFEST


def manifest_for(backbone: Backbone, soft_prompt: SoftPrompt) -> Manifest:
    return Manifest(
        format_version=FORMAT_VERSION,
        kind="embedding",
        slot=soft_prompt.slot,
        length=soft_prompt.length,
        hidden_size=backbone.hidden_size,
        shape=list(soft_prompt.vectors.shape),
        text_twin=soft_prompt.text_twin,
        template_name="rag-chat",
        template_version=1,
        template_hash="a" * 64,
        backbone=backbone.id,
        backbone_digest=backbone.digest,
        tokenizer_hash=backbone.tokenizer_hash,
        attention="exact",
        objective="answer",
        seed=0,
        data_hash="b" * 64,
        train={"epochs": 3, "learning_rate": 0.02},
        scores=DevScores(dev_loss=1.0, dev_loss_text_twin=2.0, dev_token_f1=0.5, dev_token_f1_text_twin=0.25),
        vectors_sha256="",
    )


def saved(folder: Path, backbone: Backbone, seed: int = 1) -> tuple[SoftPrompt, Manifest]:
    soft_prompt = some_soft_prompt(backbone, 4, seed)
    return soft_prompt, save_soft_prompt(folder, soft_prompt, manifest_for(backbone, soft_prompt))


def loaded(folder: Path, backbone: Backbone) -> SoftPrompt:
    loaded = load_soft_prompt(folder, backbone)
    assert loaded is not None
    return loaded[0]


def change(folder: Path, **changes: Any) -> None:
    """Change the manifest, without the digest of itself, as an older version would have written it."""
    path = folder / MANIFEST
    fields = {name: value for name, value in json.loads(path.read_text()).items() if name != "manifest_sha256"}
    path.write_text(json.dumps({**fields, **changes}))
