"""Text that is safe on a terminal, and the streams that let nothing else through."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

import softgraft
from softgraft.terminal import json_text, safe_streams, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\nof two lines", "plain\ttext\nof two lines"),
        ("windows\r\nlines", "windows\nlines"),
        ("over\rwritten", "over\\x0dwritten"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("\x1b]8;;http://x\x1b\\link", "\\x1b]8;;http://x\\x1b\\link"),
        ("\x00\x07\x08\x0b\x0c\x7f", "\\x00\\x07\\x08\\x0b\\x0c\\x7f"),
        ("\x80\x85\x9b31m\x9f", "\\x80\\x85\\x9b31m\\x9f"),
        ("\u2028\u2029", "\\u2028\\u2029"),
        ("\u202a\u202e\u2066\u2069", "\\u202a\\u202e\\u2066\\u2069"),
        ("caf\udce9", "caf\\udce9"),
        ("שלום عربي \u200f, é, 中文, 🙂, \u00a0", "שלום عربي \u200f, é, 中文, 🙂, \u00a0"),
        ("[red]", "[red]"),
    ],
)
def test_control_characters_become_visible(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert visible(shown) == shown
    shown.encode()


def test_json_is_the_same_data_without_control_characters() -> None:
    text = "".join(map(chr, range(0x100))) + "\u2028\u2029\u202e\u2066 שלום 🙂 \ud800"
    encoded = json_text({"text": text})
    assert json.loads(encoded) == {"text": text}
    assert visible(encoded) == encoded
    assert "שלום 🙂" in encoded


def test_everything_that_is_written_is_cleaned(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("typed\n"))
    before = sys.stdout, sys.stderr
    with safe_streams(clean_err=lambda text: visible(text).replace("key", "…")):
        sys.stdout.write("\x1b[2J\n")
        sys.stdout.writelines(["\x9b\n"])
        assert input("\x07> ") == "typed"
        sys.stderr.write("\x1b key\n")
        handler = logging.StreamHandler()
        handler.emit(logging.makeLogRecord({"msg": "\x1b log"}))
        # The colours of `rich` are its own.
        Console(force_terminal=True, color_system="standard").print("colour", style="red")
    assert (sys.stdout, sys.stderr) == before
    out, err = capsys.readouterr()
    assert out == "\\x1b[2J\n\\x9b\n\\x07> \x1b[31mcolour\x1b[0m\n"
    assert err == "\\x1b …\n\\x1b log\n"


def test_no_command_uses_markup() -> None:
    folder = Path(softgraft.__file__).parent
    modules = list((folder / "commands").glob("*.py"))
    assert len(modules) >= 12
    for module in modules:
        text = module.read_text(encoding="utf-8")
        assert "rich.markup" not in text, f"{module.name}: the console shows brackets as they are; use `styled`"
        assert "[/]" not in text, f"{module.name}: the console has no markup; use `styled`"


def test_a_shadowed_package_with_a_hostile_path(tmp_path: Path) -> None:
    folder = tmp_path / "\x1b[2J\u202e"
    (folder / "prompts").mkdir(parents=True)
    (folder / "prompts" / "__init__.py").touch()
    for more in ([], ["--json"]):
        command = [sys.executable, "-m", "softgraft", *more]
        done = subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=60)
        assert done.returncode != 0
        text = (done.stdout + done.stderr).decode()
        assert "prompts" in text
        assert "\x1b" not in text
        assert "\u202e" not in text
