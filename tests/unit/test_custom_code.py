"""Every call that loads a foreign model refuses code of the model's own."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("prompts", "retrieval", "soft_prompt", "chains", "evaluation", "softgraft", "benchmarks")
LOADERS = {"from_pretrained", "from_config", "SentenceTransformer", "CrossEncoder", "pipeline"}
ARGUMENT = "trust_remote_code"


def calls() -> Iterator[tuple[str, ast.Call]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                    yield f"{path.relative_to(ROOT)}:{node.lineno} {name}", node


def test_every_loader_refuses_code() -> None:
    found = {place: node for place, node in calls() if place.rsplit(" ", 1)[-1] in LOADERS}
    assert len(found) >= 12
    for place, node in found.items():
        values = [keyword.value for keyword in node.keywords if keyword.arg == ARGUMENT]
        assert [isinstance(value, ast.Constant) and value.value is False for value in values] == [True], place


def test_no_call_allows_code() -> None:
    for place, node in calls():
        for keyword in node.keywords:
            allows = keyword.arg == ARGUMENT and not (
                isinstance(keyword.value, ast.Constant) and keyword.value.value is False
            )
            assert not allows, place
