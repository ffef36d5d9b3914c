"""What all benchmark scripts share: help, options, results files, tables."""

from __future__ import annotations

import subprocess
import sys
from argparse import ArgumentTypeError
from pathlib import Path

import pytest

from benchmarks import script
from benchmarks.tables import difference, estimate, interval_text, mean_text, print_table

# Left out of `make check`.
pytestmark = pytest.mark.heavy

SCRIPTS = [
    path
    for path in sorted((script.ROOT / "benchmarks").rglob("*.py"))
    if path != Path(script.__file__) and "make_parser(" in path.read_text(encoding="utf-8")
]


def test_the_scripts_are_found() -> None:
    assert len(SCRIPTS) >= 11


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_help_shows_examples_without_loading_torch(path: Path) -> None:
    module = ".".join(path.relative_to(script.ROOT).with_suffix("").parts)
    code = f"""
import runpy, sys
sys.argv = ["{path.name}", "--help"]
try:
    runpy.run_module("{module}", run_name="__main__")
except SystemExit as error:
    assert error.code == 0
assert not {{"torch", "transformers", "faiss"}} & set(sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=script.ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert f"python -m {module}" in done.stdout
    assert "--out" in done.stdout


def test_names_keep_their_order_and_unknown_ones_are_refused() -> None:
    names = script.names_of(("kv", "adapter", "embedding"))
    assert names("embedding,kv") == ["kv", "embedding"]
    with pytest.raises(ArgumentTypeError, match="unknown: magic; expected: kv, adapter, embedding"):
        names("kv,magic")
    assert script.positives("3,1") == [3, 1]
    with pytest.raises(ArgumentTypeError, match="expected at least 1"):
        script.positives("3,0")


def test_results_are_written_in_one_step(tmp_path: Path) -> None:
    out = tmp_path / "results" / "out.json"
    script.write_results(out, {"text": "é"})
    assert script.read_results(out) == {"text": "é"}
    assert [path.name for path in out.parent.iterdir()] == ["out.json"]


def test_results_of_other_settings_are_refused(tmp_path: Path) -> None:
    script.require_same(tmp_path, {"limit": 3}, {"limit": 3})
    with pytest.raises(SystemExit, match=r"limit 3, now None; seed 0, now None\. Expected: .* Next: .*--out"):
        script.require_same(tmp_path, {"limit": 3, "seed": 0}, {"limit": None})


def test_estimates_as_text() -> None:
    assert interval_text({"mean": 0.5, "low": 0.25, "high": 0.75}) == "0.500 (0.250 to 0.750)"
    assert interval_text({"mean": 0.5, "low": -0.25, "high": 1}, "+") == "+0.500 (-0.250 to +1.000)"
    assert interval_text(None) == ""
    assert mean_text([1.0, None, 2.0]) == "1.500"
    assert mean_text([None]) == "-"
    assert estimate([0.5, 0.5]) == {"mean": 0.5, "low": 0.5, "high": 0.5}
    assert difference([], []) is None
    with pytest.raises(SystemExit, match="no question to score"):
        estimate([])


def test_a_table_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("squad", ("system", "F1"), [("kv", "0.5")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].strip() == "squad"
    assert any("kv" in line and "0.5" in line for line in lines)
