"""Limits on the size of modules and folders, and a check that `.importlinter` detects broken contracts."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("prompts", "retrieval", "soft_prompt", "chains", "evaluation", "softgraft", "benchmarks")
MODULES = sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
MEANINGLESS_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "misc"}


def test_every_package_has_modules() -> None:
    assert len(MODULES) >= 200
    assert {module.relative_to(ROOT).parts[0] for module in MODULES} == set(PACKAGES)


def test_modules_have_15_to_400_lines() -> None:
    sizes = {module.relative_to(ROOT).as_posix(): len(module.read_text("utf-8").splitlines()) for module in MODULES}
    assert {name: size for name, size in sizes.items() if size > 400} == {}
    assert {name: size for name, size in sizes.items() if size < 15 and not name.endswith("__init__.py")} == {}


def test_folders_have_at_most_14_modules() -> None:
    counts = Counter(module.parent.relative_to(ROOT).as_posix() for module in MODULES if module.name != "__init__.py")
    assert {folder: count for folder, count in counts.items() if count > 14} == {}


def test_no_module_has_a_meaningless_name() -> None:
    parts = {part for module in MODULES for part in module.relative_to(ROOT).with_suffix("").parts}
    assert {part for part in parts if MEANINGLESS_NAMES & set(part.split("_"))} == set()


def test_every_package_has_a_docstring() -> None:
    empty = [module for module in MODULES if module.name == "__init__.py" and not module.read_text("utf-8").strip()]
    assert [module.relative_to(ROOT).as_posix() for module in empty] == []


def lint_imports(root: Path) -> tuple[int, str]:
    """Exit code and output of import-linter on a copy of the project."""
    command = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([command, "--no-cache"], cwd=root, capture_output=True, text=True, check=False, timeout=120)
    return done.returncode, done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("contract", "module", "line"),
    [
        ("The packages import one way", "prompts/load.py", "import retrieval.errors"),
        ("The packages import one way", "retrieval/documents.py", "import soft_prompt.errors"),
        ("No import cycles in any package", "prompts/errors.py", "import prompts.load"),
        ("No import cycles in any package", "evaluation/errors.py", "import evaluation.run"),
        ("retrieval: layers", "retrieval/splitting/sections.py", "import retrieval.ranking.index"),
        ("soft_prompt: layers", "soft_prompt/model/kv_cache.py", "import soft_prompt.rows.row"),
        ("chains: layers", "chains/messages/content.py", "import chains.chat.chat_model"),
        ("softgraft: layers", "softgraft/tasks/work.py", "import softgraft.domain"),
        ("LangChain is imported in chains alone", "softgraft/domain.py", "import langchain_core.messages"),
        ("LangChain is imported in chains alone", "chains/answering/history.py", "import langgraph.graph"),
        ("No retired LangChain package, no pickle", "chains/errors.py", "import pickle"),
    ],
)
def test_a_broken_contract_is_reported(tmp_path: Path, contract: str, module: str, line: str) -> None:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", "results"))
    shutil.copy(ROOT / ".importlinter", tmp_path)
    with (tmp_path / module).open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    code, output = lint_imports(tmp_path)
    assert code == 1, output
    assert [row for row in output.splitlines() if row.startswith(contract) and row.endswith("BROKEN")]
