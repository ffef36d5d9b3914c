"""`softgraft serve`: what it refuses before it loads anything, and keys."""

from __future__ import annotations

import re
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import softgraft

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOFTGRAFT_KEYS", raising=False)


def test_a_key_is_printed_once(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "keys.jsonl"
    monkeypatch.setenv("SOFTGRAFT_KEYS", str(file))
    code, out, err = run("serve", "--new-key", "anna", "--domains", "bank, clinic")
    assert code == 0
    assert re.fullmatch(r"sg-[A-Za-z0-9_-]{43}\n", out)
    assert "bank, clinic" in err
    assert out.strip() not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    code, out, err = run("serve", "--new-key", "anna")
    assert (code, out) == (2, "")
    assert "'anna'" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--new-key", "anna"], "SOFTGRAFT_KEYS"),
        (["--domains", "bank,clinic"], "softgraft serve bank clinic"),
        (["--host", "0.0.0.0"], "softgraft serve --new-key"),
        (["bank", "--new-key", "anna", "--keys", "keys"], "--domains bank"),
        (["--new-key", "anna", "--keys", "keys", "--domains", " , "], "--domains"),
        (["--new-key", "anna", "--keys", "keys", "--domains", ""], "--domains"),
        (["--cors", "chat.example"], "--cors https://chat.example"),
        (["--allow-host", "bank.example:443"], "--allow-host bank.example"),
        (["--public-url", "bank.example"], "--public-url https://bank.example"),
        (["--drain-seconds", "inf"], "--drain-seconds 30"),
        (["--first-token-seconds", "inf"], "--first-token-seconds 30"),
        (["--tls-cert", "server.pem"], "add --tls-key FILE"),
        (["--tls-cert", "server.pem", "--tls-key", "server.key"], "server.pem cannot be read"),
        ([], "softgraft new"),
    ],
)
def test_what_cannot_work_is_refused(run: Run, tmp_path: Path, arguments: list[str], said: str) -> None:
    code, out, err = run("serve", *arguments)
    assert (code, out) == (2, "")
    assert said in err
    # No key was made either.
    assert not (tmp_path / "keys").exists()


def test_an_unknown_domain_is_an_error(run: Run) -> None:
    code, _, err = run("serve", "missing")
    assert code == 3
    assert "'missing'" in err


@pytest.mark.enable_socket
def test_a_port_in_use_is_an_error(run: Run, tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "domain.yaml").write_text("name: shop\ntitle: The shop\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, _, err = run("serve", "shop", "--port", port)
    assert code == 2
    assert port in err
    assert "--port" in err


@pytest.mark.enable_socket
@pytest.mark.parametrize(
    ("options", "warns"),
    [
        (["--host", "0.0.0.0"], True),
        (["--host", "0.0.0.0", "--public-url", "http://bank.example"], True),
        (["--host", "0.0.0.0", "--public-url", "https://bank.example"], False),
        (["--host", "127.0.0.1"], False),
    ],
)
def test_keys_over_plain_http_are_worth_a_note(run: Run, tmp_path: Path, options: list[str], warns: bool) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "domain.yaml").write_text("name: shop\ntitle: The shop\n")
    keys = ["--keys", "keys.jsonl"]
    assert run("serve", "--new-key", "anna", *keys)[0] == 0
    with socket.create_server(("0.0.0.0", 0)) as taken:
        code, _, err = run("serve", "shop", *keys, *options, "--port", str(taken.getsockname()[1]))
    assert code == 2
    assert ("--tls-cert" in err and "--tls-key" in err) is warns


def test_without_the_extra_the_error_has_the_command(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from softgraft.commands.service import serve

    monkeypatch.setitem(serve._PACKAGES, "no_such_module", "fastapi")
    code, _, err = run("serve")
    assert code == 2
    assert "pip install 'softgraft[serve]'" in err


def test_the_command_line_imports_no_web_framework() -> None:
    program = (
        "import sys, softgraft.cli; print(sorted({'fastapi', 'uvicorn', 'starlette', 'torch'} & set(sys.modules)))"
    )
    root = Path(softgraft.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout == "[]\n"
