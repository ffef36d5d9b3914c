"""Every command and every Python block of the README runs, in order, in a small copy of the project's example."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = ("card-payment-disputes", "card-use-abroad", "cheques", "direct-debits", "lost-or-stolen-card")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    return [line for block in blocks("bash") for line in block.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a cut-down `bank` and documents of a shop, so that training takes seconds."""
    folder = tmp_path_factory.mktemp("readme")
    bank = folder / "domains" / "bank"
    (bank / "docs").mkdir(parents=True)
    for name in DOCUMENTS:
        shutil.copy(ROOT / "domains" / "bank" / "docs" / f"{name}.md", bank / "docs")
    for split, most in (("train", 12), ("dev", 6), ("test", 6)):
        lines = (ROOT / "domains" / "bank" / f"{split}.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if any(f'"doc_id": "{name}"' in line for name in DOCUMENTS)]
        (bank / f"{split}.jsonl").write_text("".join(kept[:most]), encoding="utf-8")
    settings = yaml.safe_load((ROOT / "domains" / "bank" / "domain.yaml").read_text(encoding="utf-8"))
    settings["train"] = {**settings.get("train", {}), "epochs": 1, "length": 8}
    (bank / "domain.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    shop = folder / "shop-documents"
    shop.mkdir()
    (shop / "opening-hours.md").write_text(
        "# Opening hours\n\n## Saturdays\nOn Saturday we are open from 9:00 to 13:00.\n"
    )
    return folder


def environment() -> dict[str, str]:
    return {**os.environ, "HF_HUB_OFFLINE": "1", "NO_COLOR": "1", "PYTHONPATH": str(ROOT)}


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


def test_every_softgraft_command_runs(workplace: Path) -> None:
    for line in commands()[2:]:
        words = shlex.split(line)
        assert words[0] == "softgraft"
        done = subprocess.run(
            [sys.executable, "-m", "softgraft", *words[1:]],
            cwd=workplace,
            env=environment(),
            input="And a lost card?\n\n",
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        assert done.stdout.strip(), line


@pytest.mark.parametrize("number", range(2))
def test_the_python_blocks_run(workplace: Path, number: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", blocks("python")[number]],
        cwd=workplace,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_the_question_of_the_readme_is_one_that_a_question_file_takes() -> None:
    from evaluation.items import Item

    [block] = blocks("json")
    item = Item.model_validate_json(block)
    assert item.answers[0] in item.response
