"""The public names of `chains`, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import chains

ROOT = Path(chains.__file__).parents[1]


def test_the_public_names_are_sorted_and_exist() -> None:
    names = chains.__all__
    assert names == sorted(names)
    assert len(names) == len(set(names))
    for name in names:
        assert hasattr(chains, name)
    with pytest.raises(AttributeError, match="Nothing"):
        _ = chains.Nothing


def test_importing_chains_loads_nothing_heavy() -> None:
    heavy = ["torch", "transformers", "langchain_core", "langgraph", "numpy", "faiss"]
    code = f"import sys, chains; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
