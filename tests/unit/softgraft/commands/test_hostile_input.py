"""Files and standard input that are not what a command expects are answered with an error, never with a traceback."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from softgraft import Domain

Run = Callable[..., tuple[int, str, str]]
ROWS = {
    "a lone surrogate": rb'{"id": "1", "question": "\ud800", "answers": ["a"], "response": "b"}',
    "a lone surrogate in a list": rb'{"id": "1", "question": "q", "answers": ["\udfff"]}',
    "a lone surrogate in a text that is a list": rb'{"id": "1", "question": "q", "answers": "[\"\\udfff\"]"}',
    "a lone surrogate in the history": rb'{"id": "1", "question": "q", "history": "[[\"\\ud800\", \"b\"]]"}',
    "a lone surrogate as a name": rb'{"id": "1", "question": "q", "\ud800": 1}',
    "not UTF-8": b'{"id": "1", "question": "caf\xe9"}',
    "5,000 digits": b'{"id": %s, "question": "q"}' % (b"7" * 5000),
    "a deep value": b'{"id": "1", "question": "q", "answers": %s}' % (b"[" * 100_000),
    "a deep value that closes": b'{"id": "1", "question": "q", "answers": %s%s}' % (b"[" * 5000, b"]" * 5000),
    "a deep text": b'{"id": "1", "question": "q", "answers": "%s"}' % (b"[" * 100_000),
    "NaN": b'{"id": NaN, "question": "q"}',
    "a huge number": b'{"id": 1e999, "question": "q"}',
    "NUL bytes": b"\0" * 100,
    "UTF-16": '{"id": "1", "question": "q"}'.encode("utf-16"),
}


def check(result: tuple[int, str, str], *, may_pass: bool = False) -> None:
    code, out, err = result
    assert "Traceback" not in out + err
    assert code in range(0 if may_pass else 1, 8)
    assert code == 0 or "error:" in err or '"error"' in out


@pytest.fixture
def house(make_domain: Callable[..., Domain]) -> Domain:
    return make_domain("house")


@pytest.mark.parametrize("case", ROWS)
def test_question_files(run: Run, house: Domain, tmp_path: Path, case: str) -> None:
    """A row with a value that is not text is refused; one that only looks like a list may be taken as it is."""
    may_pass = case in ("a deep text", "a lone surrogate as a name", "a lone surrogate in a text that is a list",
                        "a lone surrogate in the history")  # fmt: skip
    pages = tmp_path / "pages"
    pages.mkdir()
    (pages / "page.md").write_text("# Page\n\nOpen.\n", encoding="utf-8")
    for name in ("train", "dev", "test"):
        (house.folder / f"{name}.jsonl").write_bytes(ROWS[case] + b"\n")
    (pages / "train.jsonl").write_bytes(ROWS[case] + b"\n")
    check(run("status", "house"), may_pass=may_pass)
    assert run("doctor", "house")[0] in (0, 1)
    check(run("new", "shop", "--from", str(pages)), may_pass=may_pass)
    check(run("new", "task", "--from", str(pages), "--task", "classification"))
    check(run("questions", "house"), may_pass=True)


@pytest.mark.parametrize("case", ROWS)
def test_drafts(run: Run, house: Domain, case: str) -> None:
    (house.folder / "drafts.jsonl").write_bytes(ROWS[case] + b"\n" + b'{"id": "2", "question": "q"}\n')
    check(run("questions", "house"), may_pass=case == "a lone surrogate in a text that is a list")
    check(run("questions", "house", "review"), may_pass=True)


@pytest.mark.parametrize(
    "content",
    [
        b"\xff",
        b'[["\\ud800", "b"]]',
        b"[" * 100_000,
        b'[["a", %s]]' % (b"7" * 5000),
        b"{}",
        b'[["a\\u0000", "b"]]',
        b"",
    ],
)
def test_files_of_prompts_render(run: Run, house: Domain, tmp_path: Path, content: bytes) -> None:
    for name in ("turns.json", "passages.jsonl", "passages.txt"):
        (tmp_path / name).write_bytes(content)
    render = ("prompts", "render", "rag-chat", "--domain", "house", "--question", "q", "--no-search")
    check(run(*render, "--history", "turns.json"), may_pass=content.startswith(b'[["a\\u'))
    check(run(*render, "--context", "passages.jsonl"), may_pass=not content)
    check(run(*render, "--context", "passages.txt"), may_pass=True)


@pytest.mark.heavy
@pytest.mark.parametrize("options", [(), ("--json",)])
@pytest.mark.parametrize(
    "content",
    [
        b"caf\xe9\n",
        b"\0\n",
        pytest.param(b"\xed\xa0\x80\n", marks=pytest.mark.slow),
        pytest.param(b"\xff" * 10_000, marks=pytest.mark.slow),
    ],
)
def test_standard_input(
    run: Run, grafted: Domain, monkeypatch: pytest.MonkeyPatch, content: bytes, options: tuple[str, ...]
) -> None:
    """Also where the locale lets every byte pass as a lone surrogate."""
    for errors in ("strict", "surrogateescape"):
        stream = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", errors=errors)
        monkeypatch.setattr(sys, "stdin", stream)
        check(run("chat", str(grafted.folder), *options), may_pass=content == b"\0\n")


FILES: dict[str, Any] = {
    "licence: 2026-13-45": "domain.yaml",
    "licence: " + "7" * 5000: "domain.yaml",
    "licence: " + "[" * 9000: "domain.yaml",
    "remote: {options: {a: &a [*a]}}": "domain.yaml",
    'template: "a\\0b"': "domain.yaml",
    f"template: {'n' * 300}": "domain.yaml",
    f"start: {'n' * 300}": "domain.yaml",
    f"backbone: {'n' * 300}": "domain.yaml",
    f"encoder: {'n' * 300}": "domain.yaml",
    "start: '[/x]'": "domain.yaml",
    "template: '[/x]'": "domain.yaml",
    "encoder: '[/x]'": "domain.yaml",
    "{": "build/evidence.json",
    "[]": "build/start.json",
    "null": "build/weights.json",
    "[" * 100_000: "build/answer_form.json",
    '{"rows": 3}': "build/reports/eval-test.json",
    "[" * 99_000: "build/reports/eval-test.json",
    '{"rows": [' + "7" * 5000 + "]}": "build/reports/eval-test.json",
    "[" * 98_000: "build/train_log.jsonl",
    "[" * 97_000: "build/label_curve.json",
    "x": "build",
    "y": "docs",
    "z": "build/index",
    "w": "build/index/index.sqlite",
    "v": "build/memory.sqlite",
    "u": "build/soft_prompt",
}


@pytest.mark.heavy
@pytest.mark.parametrize("content", FILES, ids=lambda content: f"{FILES[content]} {content[:20]}")
def test_files_of_a_domain(run: Run, house: Domain, content: str) -> None:
    path = house.folder / FILES[content]
    if path.name == "domain.yaml":
        kept = [line for line in path.read_text("utf-8").splitlines() if not line.startswith(content.partition(":")[0])]
        content = "\n".join([*kept, content, ""])
    if path.is_dir():
        for file in path.iterdir():
            file.unlink()
        path.rmdir()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    assert run("doctor", "house")[0] in range(8)
    for command in (
        "status house", "report house", "questions house", "threads list house", "prompts check --domain house",
    ):  # fmt: skip
        code, out, err = run(*command.split())
        assert "Traceback" not in out + err
        # `prompts check` lists problems instead of an error.
        assert code == 0 or "error:" in err or '"error"' in out or command.startswith("prompts check"), command


def test_names_with_brackets_are_printed_as_they_are(run: Run, house: Domain, tmp_path: Path) -> None:
    folder = tmp_path / "[" / "red] [bold]x[" / "house"
    folder.parent.mkdir(parents=True)
    house.folder.rename(folder)
    name = str(folder.relative_to(tmp_path))
    (folder / "domain.yaml").write_text(
        (folder / "domain.yaml").read_text(encoding="utf-8") + "licence: '[/x]'\n", encoding="utf-8"
    )
    for arguments in (
        ("status", name),
        ("questions", name),
        ("threads", "list", name),
        ("prompts", "list", "--domain", name),
        ("new", str(folder.parent / "shop"), "--from", str(folder / "docs")),
    ):
        code, out, err = run(*arguments)
        assert code == 0, (arguments, err)
        assert "red] [bold]x[" in out.replace("\n", ""), (arguments, out)


def test_json_of_a_name_that_is_not_utf8(run: Run, tmp_path: Path) -> None:
    """A folder may have such a name, and a message about it is valid JSON."""
    folder = tmp_path / "caf\udce9"
    folder.mkdir()
    code, out, err = run("status", str(folder), "--json")
    assert (code, err) == (3, "")
    assert r"caf\udce9" in json.loads(out)["error"]["found"]
