"""The public names, the errors, and the import time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import retrieval
from retrieval import RetrievalError

PACKAGE = Path(retrieval.__file__).parent


def test_all_is_sorted_and_complete() -> None:
    assert retrieval.__all__ == sorted(retrieval.__all__)
    assert all(getattr(retrieval, name) is not None for name in retrieval.__all__)


def test_importing_loads_nothing_heavy() -> None:
    heavy = ["faiss", "torch", "transformers", "sentence_transformers", "pypdfium2", "docx", "langchain_core"]
    code = f"import retrieval, sys; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    assert done.stdout.strip() == "[]"


def test_errors_say_what_was_found_what_expected_and_what_next() -> None:
    errors = [getattr(retrieval, name) for name in retrieval.__all__ if name.endswith("Error")]
    assert len(errors) == 11
    for kind in errors:
        error = kind(found="a", expected="b", next_step="c")
        assert isinstance(error, RetrievalError)
        assert (str(error), error.found, error.expected, error.next_step) == (
            "a. Expected: b. Next: c",
            *("a", "b", "c"),
        )
