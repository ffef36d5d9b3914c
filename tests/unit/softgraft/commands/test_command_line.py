"""Help, errors, wrong options and Ctrl-C of the command line. The commands themselves are in tests/integration."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import softgraft
from softgraft.__main__ import INTERRUPTED
from softgraft.commands.train import as_typed

COMMANDS = (
    "new",
    "ingest",
    "questions",
    "train",
    "eval",
    "ask",
    "chat",
    "export",
    "import",
    "threads",
    "status",
    "doctor",
    "demo",
)
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def leaflets(tmp_path: Path) -> Path:
    folder = tmp_path / "leaflets"
    folder.mkdir()
    (folder / "fees.md").write_text("# Fees\n\nThe card is free.\n")
    return folder


@pytest.mark.heavy
def test_the_version_and_the_help_load_nothing_heavy() -> None:
    for arguments in (["--version"], ["-h"], ["train", "-h"]):
        code = (
            f"import sys; sys.argv = ['softgraft', *{arguments}]\n"
            "from softgraft.__main__ import main\n"
            "main()\n"
            "heavy = {'torch', 'transformers', 'langchain_core', 'faiss'} & set(sys.modules)\n"
            "sys.exit(str(heavy) if heavy else 0)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        if arguments == ["--version"]:
            assert done.stdout == f"softgraft {softgraft.__version__}\n"


@pytest.mark.heavy
@pytest.mark.parametrize(("name", "problem"), [("nosuch", "no domain 'nosuch'"), ("shop", "domain.yaml")])
def test_a_wrong_name_or_setting_is_reported_before_anything_heavy_loads(
    tmp_path: Path, name: str, problem: str
) -> None:
    (tmp_path / "domains" / "shop").mkdir(parents=True)
    (tmp_path / "domains" / "shop" / "domain.yaml").write_text("name: shop\nunknown: 1\n")
    code = (
        "import sys; sys.argv = ['softgraft', 'status', '" + name + "']\n"
        "from softgraft.__main__ import main\n"
        "try:\n    main()\n"
        "finally:\n    print({'torch', 'transformers', 'langchain_core', 'faiss'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.stdout == "set()\n"
    assert problem in done.stderr


@pytest.mark.heavy
def test_a_domain_that_only_quotes_does_without_transformers() -> None:
    code = "import sys, softgraft.domain, chains.speakers.speakers; print('transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_shell_completion_is_offered(run: Run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    assert "--install-completion" in out
    assert "--show-completion" in out


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
        (("train", "bank", "--adapter-rank", "0"), "--adapter-rank"),
        (("train", "bank", "--adapter", "tree"), "--adapter"),
        (("train", "bank", "--minutes", "5"), "--minutes 5 without --search"),
        (("train", "bank", "--micro-batch", "0"), "--micro-batch"),
        (("ask", "bank"), "Missing argument 'QUESTION'"),
        (("ask", "bank", " "), 'softgraft ask bank "..."'),
        (("new", "shop"), "--from"),
        (("sing",), "No such command 'sing'"),
        (("trian", "bank"), "Did you mean 'train'"),
    ],
)
def test_invalid_command_lines(run: Run, arguments: tuple[str, ...], words: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert words in err


@pytest.mark.parametrize("command", ["ingest", "train", "eval", "chat", "status", "demo"])
def test_an_unknown_domain(run: Run, command: str) -> None:
    code, out, err = run(command, "banc")
    assert (code, out) == (3, "")
    assert err.splitlines()[0] == "error: no domain 'banc'"
    assert err.splitlines()[2] == "  next:     create it: softgraft new banc --from FOLDER"


def test_an_error_as_json(run: Run) -> None:
    code, out, err = run("status", "banc", "--json")
    assert (code, err) == (3, "")
    assert json.loads(out)["error"] == {
        "type": "DomainError",
        "found": "no domain 'banc'",
        "expected": json.loads(out)["error"]["expected"],
        "next_step": "create it: softgraft new banc --from FOLDER",
    }


def test_square_brackets_in_a_message_are_no_markup(run: Run) -> None:
    assert "error: no domain '[red]banc[/]'" in run("status", "[red]banc[/]")[2]


def test_new_then_status(run: Run, leaflets: Path) -> None:
    code, out, err = run("new", "shop", "--from", str(leaflets))
    assert (code, err) == (0, "")
    assert out == "created domains/shop: 1 document files, questions: none\nnext: softgraft ingest shop\n"
    code, out, err = run("status", "shop", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["next"] == "softgraft ingest shop"
    code, out, _ = run("status", "shop")
    assert code == 0
    assert "soft prompt  none\n" in out
    assert run("new", "shop", "--from", str(leaflets))[0] == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--kind", "adapter", "--adapter", "none"), "error: the kind `adapter` trains an adapter and nothing else"),
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


def test_the_command_that_continues_can_be_typed() -> None:
    assert as_typed("replay_anneal", True) == " --replay-anneal"
    assert as_typed("replay_anneal", False) == " --no-replay-anneal"
    assert as_typed("attack_file", "my attacks.txt") == " --attack-file 'my attacks.txt'"
    assert (as_typed("epochs", 4), as_typed("epochs", None)) == (" --epochs 4", "")


def test_ctrl_c_reports_that_nothing_is_lost(run: Run, leaflets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    # Ctrl-C while the first document is copied.
    monkeypatch.setattr(shutil, "copyfile", interrupted)
    code, out, err = run("new", "shop", "--from", str(leaflets))
    assert (code, out) == (INTERRUPTED, "")
    assert "Stopped. Everything that was saved before is kept." in err
    assert list(Path("domains").iterdir()) == []


def test_the_public_names_are_sorted_and_exist() -> None:
    assert softgraft.__all__ == sorted(softgraft.__all__)
    for name in softgraft.__all__:
        assert hasattr(softgraft, name)
    with pytest.raises(AttributeError, match="Nothing"):
        _ = softgraft.Nothing
