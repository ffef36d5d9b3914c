"""Every name that a file imports from our packages exists.

The packages load their names lazily, so a type checker cannot check them; and an import inside a function of a
benchmark fails only when that function runs.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("prompts", "retrieval", "soft_prompt", "chains", "evaluation", "softgraft")
FILES = sorted(file for folder in (*PACKAGES, "benchmarks", "tests") for file in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_every_name_that_is_imported_exists(file: Path) -> None:
    missing = [
        f"line {node.lineno}: {node.module}.{name.name}"
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module
        if node.module.split(".")[0] in PACKAGES
        for name in node.names
        if not hasattr(importlib.import_module(node.module), name.name) and not is_module(node.module, name.name)
    ]
    assert missing == []


def is_module(package: str, name: str) -> bool:
    """Whether the package has a module of that name."""
    return importlib.util.find_spec(f"{package}.{name}") is not None
