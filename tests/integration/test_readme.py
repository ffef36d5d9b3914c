"""The README has the commands that a new user needs; that they run is tested with all other code blocks."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    return [line for block in blocks("bash") for line in block.splitlines() if line.strip()]


def test_the_readme_has_its_commands() -> None:
    found = commands()
    assert found[:2] == ["make demo", "make test"]
    assert {shlex.split(line)[1] for line in found[2:]} >= {"new", "ingest", "train", "eval", "ask", "chat", "status"}
    assert len(blocks("python")) == 2
    assert "@@" not in README, "a place that was to be filled in"


@pytest.mark.parametrize("target", ["demo", "test"])
def test_make_targets_exist_and_know_their_steps(target: str) -> None:
    done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert {"demo": "softgraft demo", "test": "pytest"}[target] in done.stdout
