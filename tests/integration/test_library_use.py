"""The engine as a library: the program in the package's docstring runs as it stands there, without LangChain."""

from __future__ import annotations

import doctest
import subprocess
import sys
from pathlib import Path

import pytest

import soft_prompt

ROOT = Path(soft_prompt.__file__).parents[1]
RUN = """
import doctest, sys, torch, soft_prompt
torch.set_num_threads(1)
result = doctest.testmod(soft_prompt)
print(result.failed, result.attempted, sorted({m.split(".")[0] for m in sys.modules} & {"langchain_core", "faiss"}))
"""


@pytest.mark.slow
def test_the_program_in_the_docstring_runs_without_langchain_or_an_index() -> None:
    # In a process of its own, since other tests have loaded LangChain into this one.
    done = subprocess.run([sys.executable, "-c", RUN], cwd=ROOT, capture_output=True, text=True, check=True)
    examples = sum(len(test.examples) for test in doctest.DocTestFinder().find(soft_prompt))
    assert examples >= 12
    assert done.stdout.splitlines()[-1] == f"0 {examples} []", done.stdout
