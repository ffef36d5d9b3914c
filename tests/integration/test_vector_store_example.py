"""The example in `FaissStore`'s docstring, as a reader would run it."""

from __future__ import annotations

import textwrap
from pathlib import Path
from runpy import run_path

import pytest

from chains import FaissStore


def test_the_example_of_the_docstring_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = textwrap.dedent("    " + (FaissStore.__doc__ or "")).splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("    "))
    last = next(number for number, line in enumerate(lines) if number > first and line and not line.startswith("    "))
    script = tmp_path / "example.py"
    script.write_text(textwrap.dedent("\n".join(lines[first:last])), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    run_path(str(script))
    assert capsys.readouterr().out == "fee-en The card costs 12 euros.\n"
    assert (tmp_path / "build" / "my-index" / "index.sqlite").is_file()
