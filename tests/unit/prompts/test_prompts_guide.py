"""The YAML of the guide is that of templates that load, and its table has every key of a template."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from prompts import Template, load_template
from prompts.schema import TemplateSchema

GUIDE = (Path(__file__).parents[3] / "docs" / "prompts.md").read_text(encoding="utf-8")
BLOCKS = [
    yaml.safe_load(text)
    for text in re.findall(
        r"^```(?:yaml|text)\n((?:name|include|optional|examples):.*?)^```", GUIDE, re.MULTILINE | re.DOTALL
    )
]


def loaded(folder: Path, part: dict[str, Any]) -> Template:
    """The guide's template with a part of another one in it."""
    whole = BLOCKS[0] | part
    if len(whole["messages"]) == 1:
        whole["messages"] = [*whole["messages"], *BLOCKS[0]["messages"][1:]]
    (folder / "blocks").mkdir(exist_ok=True)
    (folder / "blocks" / "tone-rules.en.txt").write_text("We are kind.\n", encoding="utf-8")
    path = folder / "rag-chat.en.yaml"
    path.write_text(yaml.safe_dump(whole), encoding="utf-8")
    return load_template(path)


def test_every_template_of_the_guide_loads(tmp_path: Path) -> None:
    assert len(BLOCKS) == 4
    plain, block, part, examples = (loaded(tmp_path, found) for found in BLOCKS)
    assert plain.examples is None
    assert "We are kind." in str(block.messages[0].pieces)
    assert part.optional == {"context"}
    assert examples.chooses_examples


def test_the_guide_names_every_key() -> None:
    table = GUIDE[GUIDE.index("| key | meaning |") : GUIDE.index("A name in braces is a slot")]
    assert set(TemplateSchema.model_fields) <= set(re.findall(r"`([a-z_]+)`", table))
