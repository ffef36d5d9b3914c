"""The public names of `evaluation`, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import evaluation

ROOT = Path(evaluation.__file__).parents[1]


def test_the_public_names_are_sorted_and_exist() -> None:
    names = evaluation.__all__
    assert names == sorted(names)
    assert len(names) == len(set(names))
    for name in names:
        assert hasattr(evaluation, name)
    with pytest.raises(AttributeError, match="Nothing"):
        _ = evaluation.Nothing


def test_importing_evaluation_loads_nothing_heavy() -> None:
    heavy = ["torch", "transformers", "langchain_core", "sklearn", "numpy", "faiss"]
    code = f"import sys, evaluation; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
