"""The public names of `prompts`, its own example, and what importing it costs."""

from __future__ import annotations

import doctest
import subprocess
import sys
from pathlib import Path

import prompts

ROOT = Path(prompts.__file__).parents[1]


def test_the_public_names_are_sorted_and_exist() -> None:
    names = prompts.__all__
    assert names == sorted(names)
    assert len(set(names)) == len(names)
    for name in names:
        assert hasattr(prompts, name)


def test_the_example_in_the_docstring_works() -> None:
    result = doctest.testmod(prompts)
    assert result.attempted >= 4
    assert result.failed == 0


def test_importing_prompts_loads_nothing_heavy() -> None:
    heavy = ["torch", "transformers", "langchain_core", "langchain", "langgraph", "numpy", "faiss", "jinja2"]
    code = f"import sys, prompts; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
