"""A project's own `prompts` or `chains` does not silently replace ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import softgraft
from softgraft.shadowing import EXIT_CODE, PACKAGES, require_own_packages

# Left out of `make check`.
pytestmark = pytest.mark.heavy

ROOT = Path(softgraft.__file__).parents[1]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of somebody else, with a package `chains`, a module `prompts` and a script."""
    (tmp_path / "chains").mkdir()
    (tmp_path / "chains" / "__init__.py").write_text("raise SystemExit('the project was imported')\n")
    (tmp_path / "script.py").write_text("import softgraft\nprint(softgraft.__version__)\n")
    return tmp_path


def run(project: Path, *arguments: str, path: str = str(ROOT)) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=project,
        env={**os.environ, "PYTHONPATH": path, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_our_own_packages_are_accepted() -> None:
    require_own_packages()
    assert {path.name for path in ROOT.iterdir() if (path / "__init__.py").is_file()} >= set(PACKAGES)


def test_a_script_beside_a_folder_of_that_name_gets_an_import_error(project: Path) -> None:
    done = run(project, "script.py")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("softgraft.shadowing.ShadowedPackageError: ")
    assert str(project / "chains") in last
    assert str(ROOT / "chains") in last
    assert "python -P" in last
    assert "was imported" not in done.stderr


@pytest.mark.parametrize("name", ["prompts.py", "retrieval/__init__.py", "evaluation.py"])
def test_modules_and_other_packages_are_found_too(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("")
    done = run(tmp_path, "-c", "import softgraft")
    assert done.returncode == 1
    assert str(tmp_path / name.removesuffix("/__init__.py")) in done.stderr


def test_the_command_line_prints_the_error_and_its_remedy_works(project: Path) -> None:
    done = run(project, "-m", "softgraft", "--version")
    assert (done.returncode, done.stdout) == (EXIT_CODE, "")
    first, second, third = done.stderr.splitlines()
    assert first.startswith(f"error: {project / 'chains'}, which Python imports in place of")
    assert second == f"  expected: {ROOT / 'chains'}"
    assert "python -P -m softgraft" in third
    done = run(project, "-P", "-m", "softgraft", "--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"softgraft {softgraft.__version__}\n"


def test_the_error_as_json(project: Path) -> None:
    done = run(project, "-m", "softgraft", "status", "bank", "--json")
    assert (done.returncode, done.stderr) == (EXIT_CODE, "")
    assert json.loads(done.stdout)["error"]["type"] == "ShadowedPackageError"


def test_a_folder_on_the_path_has_another_remedy(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    done = run(elsewhere, "-c", "import softgraft", path=f"{project}{os.pathsep}{ROOT}")
    assert done.returncode == 1
    assert f"remove {project} from PYTHONPATH" in done.stderr


def test_other_names_disturb_nobody(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "__init__.py").write_text("")
    # A folder without __init__.py gives way to an installed package.
    (tmp_path / "prompts").mkdir()
    done = run(tmp_path, "-c", "import softgraft; print(softgraft.__version__)")
    assert (done.returncode, done.stderr) == (0, "")


def test_the_check_imports_nothing() -> None:
    code = f"import sys, softgraft\nloaded = set({PACKAGES}) & set(sys.modules)\nsys.exit(str(loaded) if loaded else 0)"
    assert run(ROOT, "-c", code).returncode == 0
