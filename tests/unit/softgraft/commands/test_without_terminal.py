"""Commands without a terminal: no progress bars and no control characters; the demo prints one line per stage."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from softgraft import Domain
from tests.support.hashing_encoder import HashingEncoder

pytestmark = pytest.mark.heavy

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def domain(make_domain: Callable[..., Domain], monkeypatch: pytest.MonkeyPatch) -> str:
    """The path of a domain on disk; whoever opens it gets an encoder without weights."""
    monkeypatch.setattr("softgraft.assembly.parts.load_encoder", lambda name: HashingEncoder(dimension=256))
    return str(make_domain().folder)


def assert_plain(*outputs: str) -> None:
    for output in outputs:
        assert not re.search(r"[\r\x1b\x08━]|it/s", output)


def test_commands_draw_no_progress_bars(run: Run, domain: str) -> None:
    for arguments in (
        ["ingest", domain],
        ["train", domain, "--epochs", "1"],
        ["eval", domain],
        ["ask", domain, "Fee?"],
    ):
        code, out, err = run(*arguments)
        assert code == 0
        assert out
        assert_plain(out, err)


def test_the_demo_prints_one_line_per_stage(run: Run, domain: str) -> None:
    code, out, err = run("demo", domain)
    assert code == 0
    assert_plain(out, err)
    lines = out.splitlines()
    assert [line[:2] for line in lines] == ["1.", "2.", "3.", "4.", "Do"]
    figures = [r": \d+ passages, \d+ embedded", r": \d+ s; token F1", r": token F1 base 0\.\d+ \(", ": What is", "s"]
    for line, pattern in zip(lines, figures, strict=True):
        assert re.search(pattern, line), line


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"task": "classification", "template": "classification"}, "the task of"),
        ({"backbone": "openai:gpt-4o-mini"}, "is behind an API"),
        ({}, "no questions in"),
    ],
)
def test_a_domain_that_the_demo_cannot_show_is_refused_before_any_work(
    run: Run, make_domain: Callable[..., Domain], settings: dict[str, str], words: str
) -> None:
    made = make_domain("other", **settings)
    if not settings:
        (made.folder / "test.jsonl").write_text("")
    code, out, err = run("demo", str(made.folder))
    assert (code, out) == (2, "")
    assert words in err
    assert not made.build.exists()


def test_the_demo_starts_with_a_soft_prompt_of_another_domain(run: Run, domain: str) -> None:
    shutil.copytree(domain, Path(domain).with_name("clinic"))
    code, out, err = run("demo", domain)
    assert code == 0
    assert_plain(out, err)
    lines = out.splitlines()
    assert [line[:2] for line in lines] == ["1.", "2.", "3.", "4.", "5.", "Do"]
    assert "trained on 4 questions of its own and none of" in lines[1]
    # Two epochs teach the tiny backbone nothing.
    assert lines[1].endswith("not kept")


def test_the_demo_as_json(run: Run, domain: str) -> None:
    code, out, err = run("demo", domain, "--json")
    assert (code, err) == (0, "")
    assert list(json.loads(out)["stages"]) == ["ingest", "train", "eval", "ask"]
