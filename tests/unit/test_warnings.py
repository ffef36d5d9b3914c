"""All packages import without a warning and without the deprecated LangChain packages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.heavy

ROOT = Path(__file__).parents[2]
PACKAGES = ("prompts", "retrieval", "soft_prompt", "chains", "evaluation", "softgraft")
DEPRECATED = ("langchain_community", "langchain_classic")

SCRIPT = f"""
import importlib, pkgutil, sys
modules = names = 0
for package in {PACKAGES}:
    loaded = importlib.import_module(package)
    for name in loaded.__all__:
        assert getattr(loaded, name) is not None
        names += 1
    for module in pkgutil.walk_packages(loaded.__path__, package + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
            modules += 1

import chains
from pathlib import Path
from tests.support.small_bank import ScriptedChat, make_answering, make_index
folder = Path(sys.argv[1])
chain = chains.DomainChain(make_answering(make_index(folder), ScriptedChat()), folder / "memory.sqlite")
for question in ("What does a cash withdrawal abroad cost?", "And a replacement card?"):
    result = chain.invoke({{"question": question}}, {{"configurable": {{"thread_id": "1"}}}})
    assert result["evidence"] and result["answer"]
turns = len(chain.history("1"))
print(modules, names, turns, [name for name in sys.modules if name.split(".")[0] in {DEPRECATED}])
"""


def run(code: str, *arguments: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *options, "-c", code, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_every_name_loads_and_a_conversation_runs_with_warnings_as_errors(tmp_path: Path) -> None:
    done = run(SCRIPT, str(tmp_path), options=("-W", "error"))
    assert done.returncode == 0, done.stderr
    modules, names, turns, deprecated = done.stdout.split(" ", 3)
    assert int(modules) >= 150
    assert int(names) >= 100
    assert int(turns) == 2
    assert deprecated.strip() == "[]"
    assert "Warning" not in done.stderr


def test_a_warning_fails_the_check(tmp_path: Path) -> None:
    (tmp_path / "old.py").write_text("import warnings\nwarnings.warn('deprecated', DeprecationWarning)\n")
    done = run("import sys; sys.path.insert(0, sys.argv[1]); import old", str(tmp_path), options=("-W", "error"))
    assert done.returncode == 1
    assert "DeprecationWarning: deprecated" in done.stderr


@pytest.mark.parametrize("folder", [*PACKAGES, "benchmarks", "tests"])
def test_no_file_imports_a_deprecated_package(folder: str) -> None:
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    lines = [
        (file.name, line.strip())
        for file in files
        for line in file.read_text(encoding="utf-8").splitlines()
        if line.lstrip().startswith(tuple(f"{word} {name}" for word in ("import", "from") for name in DEPRECATED))
    ]
    assert lines == []
