"""A pipe, a device, a socket or a folder in the place of a file that a user names is an error at once, everywhere."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from softgraft import Domain
from tests.support.hashing_encoder import HashingEncoder

Run = Callable[..., tuple[int, str, str]]
ROOT = Path(__file__).parents[4]
SECONDS = 60


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def unix_socket(path: Path) -> None:
    # Such a name has at most 107 characters.
    here = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


KINDS: dict[str, Callable[[Path], None]] = {"pipe": pipe, "device": device, "socket": unix_socket, "folder": Path.mkdir}

# Of each file, from the domain's folder or from the workplace, the commands that read it.
FILES: dict[str, tuple[str, ...]] = {
    "house/domain.yaml": ("status house", "train house", "ask house x", "prompts list --domain house", "doctor house"),
    "house/train.jsonl": ("status house", "train house", "questions house draft --count 1", "doctor house"),
    "house/train.csv": ("status house", "train house"),
    "house/dev.jsonl": ("status house", "train house", "eval house --split dev"),
    "house/test.jsonl": ("status house", "eval house"),
    "house/drafts.jsonl": ("questions house", "questions house review", "questions house draft --count 1"),
    "house/templates/rag-chat.en.yaml": (
        "ask house x", "train house", "prompts show rag-chat --domain house", "prompts check house/templates",
        "prompts render rag-chat --domain house",
    ),
    "house/templates/blocks/evidence-rules.en.txt": ("prompts show rag-chat --domain house", "ask house x"),
    "labels/labels.yaml": ("eval labels",),
    "attacks.txt": ("train attacked",),
    "passages.jsonl": ("prompts render rag-chat --context passages.jsonl",),
    "note.txt": ("prompts render rag-chat --history note.txt",),
    "own.en.yaml": ("prompts show own.en.yaml", "prompts diff own.en.yaml rag-chat"),
    "pages/train.jsonl": ("new shop --from pages",),
    "keys.jsonl": ("serve house --keys keys.jsonl", "serve --new-key anna --keys keys.jsonl"),
    "server.pem": ("serve house --tls-cert server.pem --tls-key server.key",),
    "server.key": ("serve house --tls-cert chain.pem --tls-key server.key",),
}  # fmt: skip


@pytest.fixture
def workplace(tmp_path: Path, make_domain: Callable[..., Domain], monkeypatch: pytest.MonkeyPatch) -> Path:
    # The real one takes seconds to load.
    monkeypatch.setattr("softgraft.assembly.parts.load_encoder", lambda _: HashingEncoder(dimension=256))
    house = make_domain("house", ingest=True).folder
    (house / "templates" / "blocks").mkdir()
    template = house / "templates" / "rag-chat.en.yaml"
    included = template.read_text("utf-8").replace("{context}", "{context}{rules}")
    template.write_text(f"include: {{rules: evidence-rules}}\n{included}", encoding="utf-8")
    (house / "templates" / "blocks" / "evidence-rules.en.txt").write_text("Be brief.\n", encoding="utf-8")
    attacked = Path(shutil.copytree(house, tmp_path / "attacked"))
    file = attacked / "domain.yaml"
    settings = yaml.safe_load(file.read_text("utf-8"))
    settings["name"] = "attacked"
    settings["train"] |= {"attack_share": 0.5, "attack_file": str(tmp_path / "attacks.txt")}
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    labels = tmp_path / "labels"
    labels.mkdir()
    row = {"text": "Where is it?", "label": "place"}
    for split in ("train", "dev", "test"):
        (labels / f"{split}.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    settings = {"name": "labels", "title": "Labels", "task": "classification", "template": "classification"}
    settings["backbone"] = str(house)
    (labels / "domain.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    (tmp_path / "chain.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "page.md").write_text("# Page\n\nOpen.\n", encoding="utf-8")
    return tmp_path


@pytest.fixture(autouse=True)
def _alarm() -> Iterator[None]:
    """Ends a command that blocks."""

    def blocked(*_: object) -> None:
        pytest.fail("the command blocks")

    previous = signal.signal(signal.SIGALRM, blocked)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, previous)


@pytest.mark.heavy
@pytest.mark.parametrize("name", FILES)
def test_what_is_no_file_is_an_error(run: Run, workplace: Path, name: str) -> None:
    path = workplace / name
    kept = path.read_bytes() if path.is_file() else None
    for kind, make in KINDS.items():
        path.unlink(missing_ok=True)
        make(path)
        for command in FILES[name]:
            signal.alarm(SECONDS)
            code, out, err = run(*command.split())
            signal.alarm(0)
            said = out + err
            assert code in range(1, 8), (kind, command, code, said)
            assert "Traceback" not in said, (kind, command, said)
            assert path.name in said, (kind, command, said)
            # `doctor` and `prompts check` list what they find.
            assert re.search("next:|fix:|[0-9] problems", said), (kind, command, said)
        path.rmdir() if kind == "folder" else path.unlink()
    if kept is not None:
        path.write_bytes(kept)


# What opens a file that no user names, or that was checked before.
PACKAGES = (
    "prompts",
    "evaluation",
    "softgraft/server",
    "softgraft/settings",
    "softgraft/templates",
    "softgraft/training",
    "softgraft/jobs/questions",
)
OWN = {
    "evaluation/added_rows.py read_bytes",  # train.jsonl, after it was read
    "evaluation/hardware.py read_text",  # /proc
    "softgraft/templates/template_files.py read_text",  # domain.yaml, after it was read
    "softgraft/training/taught_file.py read_bytes",  # build/teacher.jsonl
    "softgraft/training/taught_file.py open",
    "softgraft/jobs/questions/draft_file.py open",  # drafts.jsonl, after it was read
}


def test_every_open_of_a_file_that_a_user_names_is_checked() -> None:
    found = set()
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and (name := opened_by(node.func)):
                    found.add(f"{path.relative_to(ROOT).as_posix()} {name}")
    assert found - {"prompts/regular_file.py open"} == OWN


def opened_by(function: ast.expr) -> str:
    """The name of a function that opens a file unchecked; empty if it is none."""
    if isinstance(function, ast.Name):
        # `read_text(path)` is the checked one of prompts.yaml_document.
        return function.id if function.id == "open" else ""
    if not isinstance(function, ast.Attribute) or ast.unparse(function.value) in ("PassageStore", "served"):
        return ""
    return function.attr if function.attr in ("open", "read_bytes", "read_text") else ""
