"""What the command line makes of errors, wrong options and Ctrl-C. The commands themselves are in tests/integration."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import softgraft
from softgraft.__main__ import INTERRUPTED

COMMANDS = ("new", "ingest", "train", "eval", "ask", "chat", "export", "import", "threads", "status", "demo")
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def leaflets(tmp_path: Path) -> Path:
    folder = tmp_path / "leaflets"
    folder.mkdir()
    (folder / "fees.md").write_text("# Fees\n\nThe card is free.\n")
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help_with_an_example(run: Run, command: str) -> None:
    code, out, _ = run(command, "--help")
    assert code == 0
    assert f"Example: softgraft {command}" in re.sub(r"\x1b\[[0-9;]*m", "", out)


def test_all_commands_are_listed(run: Run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    assert all(re.search(rf"^\W*{command}\b", out, re.MULTILINE) for command in COMMANDS)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("status", "bank", "--colour"), "No such option: --colour"),
        (("train", "bank", "--epochs", "0"), "--epochs"),
        (("train", "bank", "--kind", "tree"), "--kind"),
        (("train", "bank", "--layers", "0"), "--layers"),
        (("train", "bank", "--adapter", "tree"), "--adapter"),
        (("train", "bank", "--minutes", "5"), "--minutes 5 without --search"),
        (("train", "bank", "--micro-batch", "0"), "--micro-batch"),
        (("ask", "bank"), "Missing argument 'question'"),
        (("new", "shop"), "--from"),
        (("sing",), "No such command 'sing'"),
    ],
)
def test_a_command_that_cannot_be_understood(run: Run, arguments: tuple[str, ...], words: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert words in err


@pytest.mark.parametrize("command", ["ingest", "train", "eval", "chat", "status", "demo"])
def test_an_unknown_domain(run: Run, command: str) -> None:
    code, out, err = run(command, "banc")
    assert (code, out) == (3, "")
    assert err.splitlines()[0] == "error: no domain 'banc'"
    assert err.splitlines()[2] == "  next:     make one: softgraft new banc --from FOLDER"


def test_an_error_as_json(run: Run) -> None:
    code, out, err = run("status", "banc", "--json")
    assert (code, err) == (3, "")
    assert json.loads(out)["error"] == {
        "type": "DomainError",
        "found": "no domain 'banc'",
        "expected": json.loads(out)["error"]["expected"],
        "next_step": "make one: softgraft new banc --from FOLDER",
    }


def test_square_brackets_in_a_message_are_no_markup(run: Run) -> None:
    assert "error: no domain '[red]banc[/]'" in run("status", "[red]banc[/]")[2]


def test_new_then_status(run: Run, leaflets: Path) -> None:
    code, out, err = run("new", "shop", "--from", str(leaflets))
    assert (code, err) == (0, "")
    assert out == "made domains/shop: 1 document files, questions: none\nnext: softgraft ingest shop\n"
    code, out, err = run("status", "shop", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["next"] == "softgraft ingest shop"
    code, out, _ = run("status", "shop")
    assert code == 0
    assert "soft prompt  none kept; the text twin is used" in out
    assert run("new", "shop", "--from", str(leaflets))[0] == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--kind", "adapter", "--adapter", "none"), "error: the kind `adapter` trains an adapter and nothing else"),
        (("--kind", "adapter", "--adapter-rank", "0"), "error: the kind `adapter` trains an adapter and nothing else"),
        (("--kind", "adapter", "--length", "8"), "error: a length of 8 for the kind `adapter`"),
    ],
)
def test_options_of_train_that_cannot_go_together(
    run: Run, leaflets: Path, arguments: tuple[str, ...], words: str
) -> None:
    run("new", "shop", "--from", str(leaflets))
    code, out, err = run("train", "shop", *arguments)
    assert (code, out) == (2, "")
    assert words in err


def test_ctrl_c_says_that_nothing_is_lost(run: Run, leaflets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    # As if the key were pressed while the first document is copied.
    monkeypatch.setattr(shutil, "copyfile", interrupted)
    code, out, err = run("new", "shop", "--from", str(leaflets))
    assert (code, out) == (INTERRUPTED, "")
    assert "Stopped. Nothing that was there before is lost." in err
    assert list(Path("domains").iterdir()) == []


def test_the_public_names_are_sorted_and_exist() -> None:
    assert softgraft.__all__ == ["Domain", "open_domain"]
    assert softgraft.__version__
    for name in softgraft.__all__:
        assert hasattr(softgraft, name)
    with pytest.raises(AttributeError, match="Nothing"):
        _ = softgraft.Nothing
