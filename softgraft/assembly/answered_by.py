"""What answered a question, as names and digests, so that ratings of answers can be counted for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from prompts import TemplateFile
from retrieval import Index
from soft_prompt import read_manifest
from softgraft.assembly.answers import Graft
from softgraft.settings.domain_file import DomainFile
from softgraft.sources.shelf import Source


def answered_by(
    graft: Graft, file: DomainFile, build: Path, source: Source | None, template: TemplateFile, index: Index
) -> Callable[[], dict[str, str]]:
    """A function that names what answers.

    Its keys are `system` (what fills the soft slot), `backbone`, `soft_prompt` (digest of the vectors; "" without any),
    `strength`, `template` (digest, also of the text twins in it) and `index` (digest of its documents). The soft prompt
    is the one of this moment, since it is loaded once. The template and the index may change later.
    """
    vectors = ""
    if graft == "soft":
        manifest = read_manifest(build / "soft_prompt")
        vectors = manifest.vectors_sha256 if manifest else ""
    elif graft == "source" and source is not None:
        vectors = source.manifest.vectors_sha256

    def describe() -> dict[str, str]:
        return {
            "system": graft,
            "backbone": file.backbone,
            "soft_prompt": vectors,
            "strength": str(file.answer.strength) if vectors else "",
            "template": template.current().content_hash,
            "index": index.content_digest(),
        }

    return describe
