"""No command answers a name, a path or a text with a traceback, whatever is in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from softgraft.cli import app
from softgraft.docs import _commands

Run = Callable[..., tuple[int, str, str]]

NAMES = {
    "long": "n" * 300,
    "long in every part": "/".join(["n" * 300] * 3),
    "very long": "n/" * 5000,
    "NUL": "a\0b",
    "not UTF-8": "caf\udce9",
    "a closing tag": "[/foo]",
    "a tag": "[bold red]x[/]",
    "brackets": "a[b]c",
    "empty": "",
    "a line break": "a\nb",
    "escape codes": "\x1b[31mred",
    "a file": "file.txt",
    "below a file": "file.txt/x",
    "a folder": "folder",
    "a loop": "loop",
}

# The others are left to `make test-all`.
SAMPLE = ("long", "NUL", "not UTF-8", "a tag", "below a file", "a loop")

# Of each command: its arguments, with `@` for the hostile one.
COMMANDS = [
    "new @ --from folder",
    "new shop --from @",
    "new shop --from folder --title @",
    "new shop --from folder --language @",
    "new shop --from folder --backbone @",
    "new shop --from folder --task @",
    "ingest @",
    "ingest @ --dry-run",
    "ingest house --index @",
    "questions @",
    "questions @ draft",
    "questions @ review",
    "questions house draft --count 1 --with @",
    "feedback @",
    "feedback @ accept --json",
    "feedback house accept @ --yes",
    "feedback house export --output @",
    "feedback house compare --systems @",
    "train @",
    "train @ --json",
    "eval @",
    "eval house --systems @",
    "curve @",
    "curve house --labels @",
    "report @",
    "report house --output @",
    "source @ --from nothing",
    "source x --from @",
    "transfer @",
    "ask @ x",
    "ask @ x --json",
    "chat @",
    "export @ --format peft --out x",
    "export house --format peft --out @",
    "import @ --from x",
    "import house --from @",
    "serve @",
    "serve house --host @",
    "serve house --keys @",
    "serve house --tls-cert @ --tls-key @",
    "serve house --cors @",
    # Where the name is right, the missing key keeps the server from starting.
    "serve house --allow-host @ --tls-cert file.txt",
    "serve house --public-url @ --tls-cert file.txt",
    "serve --new-key @ --keys keys.jsonl",
    "serve --new-key anna --keys @",
    "status @",
    "status @ --json",
    "doctor @",
    "demo @",
    "sources @",
    "prompts list --domain @",
    "prompts show @",
    "prompts show rag-chat --domain @",
    "prompts check @",
    "prompts diff @ rag-chat",
    "prompts diff rag-chat @",
    "prompts diff --domain @",
    "prompts render rag-chat --domain @",
    "prompts render @ --question x",
    "prompts render rag-chat --context @",
    "prompts render rag-chat --history @",
    "prompts render rag-chat --input @",
    "prompts render rag-chat --input note=@",
    "threads list @",
    "threads show @ x",
    "threads show house @",
    "threads rename @ x Title",
    "threads rename house @ Title",
    "threads rename house x @",
    "threads export @ x",
    "threads export house @",
    "threads delete @ x --yes",
    "threads delete house @ --yes",
    "@",
    "--@",
    "status --@",
]


@pytest.fixture
def workplace(tmp_path: Path, make_domain: Callable[..., object]) -> Path:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "page.md").write_text("# Page\n\nOpen on Mondays.\n", encoding="utf-8")
    (tmp_path / "file.txt").write_text("text", encoding="utf-8")
    (tmp_path / "loop").symlink_to("loop")
    make_domain("house")
    return tmp_path


def test_every_command_is_walked() -> None:
    walked = {tuple(word for word in command.split() if word.isalpha()) for command in COMMANDS}
    for words in _commands(app):
        assert any(one[: len(words)] == words for one in walked), words


@pytest.mark.heavy
@pytest.mark.parametrize("command", COMMANDS)
def test_no_name_gives_a_traceback(run: Run, workplace: Path, command: str, full: bool) -> None:
    for case, name in NAMES.items():
        if not (full or case in SAMPLE):
            continue
        arguments = [word.replace("@", name) for word in command.split()]
        # An exception that leaves `main` fails the test.
        code, out, err = run(*arguments)
        assert "Traceback" not in out + err, (case, err)
        if code:
            assert code in range(1, 8), (case, code)
            assert err.strip() or '"error"' in out, case
