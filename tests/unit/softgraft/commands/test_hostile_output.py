"""Control characters and markup in documents, names, questions and answers never reach the terminal."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from house_domain import write_items

from evaluation import read_items
from softgraft import Domain
from softgraft.jobs.questions.draft_file import Draft, DraftFile
from tests.support.hashing_encoder import HashingEncoder

# Left out of `make check`.
pytestmark = pytest.mark.heavy

Run = Callable[..., tuple[int, str, str]]

LINK = "\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\"
# Title, clear screen, 8-bit CSI, backspace, carriage return, DEL, bidi override and isolate, line separator, markup.
HOSTILE = (
    f"\x1b]0;owned\x07 \x1b[2J {LINK} \x9b31m \x08\x08 fee\rfree \x7f \u202eeerf\u202c \u2066x\u2069 \u2028 "
    "[red]paint[/red] [link=http://evil.example]here[/link] :bomb: \\[bold]"
)
NAME = "\x1b[31m \u202efdp [red]"
FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
QUESTION = f"What is the cost of a replacement card? {HOSTILE}"


@pytest.fixture
def run_raw(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path) -> Run:
    """As `run`, with the raw output; checks that it is harmless."""
    from softgraft.__main__ import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str, typed: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["softgraft", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        try:
            main()
            code = 0
        except SystemExit as done:
            code = done.code if isinstance(done.code, int) else 0
        sys.stdout.flush()
        sys.stderr.flush()
        said = capfdbinary.readouterr()
        out, err = said.out.decode(), said.err.decode()
        for stream in (out, err):
            found = FORBIDDEN.search(stream)
            assert found is None, (arguments, stream[max(0, found.start() - 80) : found.end() + 20])
            # What is shown is neither painted nor replaced.
            assert "paint" not in stream or "[red]paint[/red]" in stream, (arguments, stream)
            assert "💣" not in stream
            assert "Traceback" not in stream, (arguments, stream)
        return code, out, err

    return run


@pytest.fixture
def domain(make_domain: Callable[..., Domain], monkeypatch: pytest.MonkeyPatch) -> Domain:
    """A domain all of whose texts and names are hostile."""
    monkeypatch.setattr("softgraft.assembly.parts.load_encoder", lambda name: HashingEncoder(dimension=256))
    made = make_domain("house", title=f"House {HOSTILE}", answer={"form": "quote"})
    (made.docs / f"fees{NAME}.md").write_text(
        f"# Fees {HOSTILE}\n\n## Cards {HOSTILE}\n\nThe cost of a replacement card is 12 euros {HOSTILE}.\n"
    )
    (made.docs / f"broken{NAME}.md").write_bytes(b"\x00")
    (made.docs / f"picture.{NAME}").write_bytes(b"\x00")
    (made.docs / "rows.jsonl").write_text(
        json.dumps({"id": f"row {HOSTILE}", "title": HOSTILE, "text": f"A replacement card costs 12 euros. {HOSTILE}"})
    )
    rows = [
        {"id": f"q {HOSTILE}", "question": QUESTION, "answers": ["12"], "response": f"12 {HOSTILE}",
         "doc_id": f"none {HOSTILE}", f"column {HOSTILE}": 1}
    ]  # fmt: skip
    for split in ("train", "dev", "test"):
        write_items(made.folder / f"{split}.jsonl", rows)
    path = made.folder / "templates" / "rag-chat.en.yaml"
    template = yaml.safe_load(path.read_text(encoding="utf-8"))
    template["description"] = f"About {HOSTILE}"
    path.write_text(yaml.safe_dump(template), encoding="utf-8")
    return made


def test_ask_and_the_conversations(run_raw: Run, domain: Domain) -> None:
    place, thread = str(domain.folder), f"anna {NAME}"
    code, out, err = run_raw("ingest", place)
    assert code == 0
    assert "left out: broken\\x1b[31m \\u202efdp [red].md" in err
    assert "skipped: files of unsupported formats: 1 .\\x1b[31m \\u202efdp [red]" in err
    for arguments in (("ingest", place, "--json"), ("ingest", place, "--dry-run"), ("ingest", place, "--warm")):
        assert run_raw(*arguments)[0] == 0
    code, out, _ = run_raw("ask", place, QUESTION)
    assert code == 0
    assert "[red]paint[/red] [link=http://evil.example]here[/link]" in out
    assert "\\x1b]0;owned\\x07" in out
    assert ":bomb:" in out
    code, out, _ = run_raw("ask", place, QUESTION, "--json", "--thread", thread)
    # What is escaped reads as it was.
    assert (code, json.loads(out)["question"]) == (0, QUESTION)
    code, out, _ = run_raw("chat", place, "--thread", thread, typed=f"{QUESTION}\nAnd abroad?\n\n")
    assert code == 0
    assert "1 earlier turns" in out
    assert run_raw("chat", place, "--json", typed=f"{QUESTION}\n")[0] == 0
    for arguments in (
        ("threads", "list", place), ("threads", "list", place, "--json"), ("threads", "show", place, thread),
        ("threads", "export", place, thread), ("threads", "export", place, thread, "--format", "json"),
    ):  # fmt: skip
        code, out, _ = run_raw(*arguments)
        assert code == 0
        assert "owned" in out
    assert run_raw("threads", "show", place, f"nobody {HOSTILE}")[0] == 3
    assert run_raw("threads", "delete", place, thread, typed="n\n")[0] == 1
    assert run_raw("threads", "delete", place, thread, "--yes")[0] == 0


def test_the_state_of_a_domain(run_raw: Run, domain: Domain) -> None:
    place = str(domain.folder)
    assert run_raw("ingest", place)[0] == 0
    for arguments in (
        ("status", place), ("status", place, "--json"), ("doctor", place), ("questions", place),
        ("questions", place, "draft", "--count", "2"), ("eval", place, "--systems", "quote"), ("report", place),
        ("report", place, "--json"), ("sources",),
    ):  # fmt: skip
        assert run_raw(*arguments)[0] == 0, arguments
    page = (domain.build / "reports" / "report.html").read_text(encoding="utf-8")
    assert FORBIDDEN.search(page) is None
    for arguments in (
        ("prompts", "list", "--domain", place), ("prompts", "show", "rag-chat", "--domain", place),
        ("prompts", "diff", "rag-chat", "--domain", place), ("prompts", "check", "--domain", place),
        ("prompts", "render", "rag-chat", "--domain", place, "--question", QUESTION),
    ):  # fmt: skip
        assert run_raw(*arguments)[0] == 0, arguments
        assert run_raw(*arguments, "--json")[0] == 0, arguments
    (domain.folder / "templates" / "bad.en.yaml").write_text('name: "\\e[2J\\u202e"\nx: [\n')
    assert run_raw("prompts", "check", "--domain", place)[0] == 4


def test_a_review_shows_drafts(run_raw: Run, domain: Domain) -> None:
    DraftFile(domain.folder, domain.build).append(
        Draft(
            id="draft-0", question=QUESTION, answers=(HOSTILE,), response=HOSTILE, doc_id=f"d {NAME}", title=HOSTILE,
            heading=HOSTILE, quote=HOSTILE, start=4, end=16,
        )
    )  # fmt: skip
    code, out, _ = run_raw("questions", str(domain.folder), "review", typed=f"e\nWhat {NAME}?\n\n\na\n")
    assert code == 0
    assert "What \\x1b[31m" in out
    assert len(read_items(domain.folder / "train.jsonl")) == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("status", f"none {HOSTILE}"),
        ("status", f"none {HOSTILE}", "--json"),
        (f"sing{NAME}",),
        ("status", "house", f"--no{NAME}"),
        ("train", "house", "--kind", HOSTILE),
        ("new", f"shop {NAME}", "--from", "leaflets"),
        ("new", "shop", "--from", f"none{NAME}"),
        ("new", "shop", "--from", "leaflets", "--language", NAME),
        ("curve", "house", "--labels", HOSTILE),
        ("prompts", "show", HOSTILE),
        ("export", f"none {NAME}", "--format", "peft", "--out", "x"),
        ("import", "house", "--from", f"none{NAME}"),
        ("questions", "house", f"list{NAME}"),
        ("source", NAME, "--from", f"none {NAME}"),
        ("transfer", f"none {NAME}"),
    ],
    ids=lambda arguments: arguments[0][:6].strip("\x1b[") if isinstance(arguments, tuple) else None,
)
def test_errors_about_what_was_typed(run_raw: Run, domain: Domain, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "leaflets").mkdir()
    (tmp_path / "leaflets" / f"a{NAME}.md").write_text("A text.")
    code, out, err = run_raw(*arguments)
    assert code != 0
    assert "x1b" in out + err or "u001b" in out + err


def test_new_names_its_files(run_raw: Run, tmp_path: Path) -> None:
    (tmp_path / "leaflets").mkdir()
    (tmp_path / "leaflets" / f"a{NAME}.md").write_text("A text.")
    (tmp_path / "leaflets" / f"gone{NAME}.md").symlink_to("nowhere")
    code, _, err = run_raw("new", "shop", "--from", "leaflets")
    assert code == 0
    assert "left out: gone\\x1b[31m" in err


def test_a_settings_file(run_raw: Run, domain: Domain) -> None:
    path = domain.folder / "domain.yaml"
    for more in (
        f'"{NAME.encode("unicode_escape").decode()}": 1\n',
        'x: "\\e]0;owned\\a\\u202e"\n',
        "y: [\x85\u2028\n",
    ):
        path.write_text(f"name: house\ntitle: x\n{more}", encoding="utf-8")
        assert run_raw("status", str(domain.folder))[0] == 3


def test_on_a_terminal_only_our_own_colours_are_sent(run: Run, domain: Domain) -> None:
    place = str(domain.folder)
    assert run("ingest", place)[0] == 0
    assert run("ask", place, QUESTION, "--thread", "anna")[0] == 0
    for command in ("threads show {} anna", "threads list {}", "status {}"):
        shown = on_terminal(*command.format(place).split())
        assert "\x1b[1m" in shown
        # Bold, dim, italic and yellow; `\x1b[31m` of the document is text.
        plain = re.sub(r"\x1b\[(0|1|2|3|33)m", "", shown).replace("\r\n", "\n")
        found = FORBIDDEN.search(plain)
        assert found is None, plain[max(0, found.start() - 80) : found.end() + 20]
        assert "\\x1b]0;owned" in plain


def on_terminal(*arguments: str) -> str:
    """What a command writes to a terminal."""
    terminal, inside = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "200"}
    command = [sys.executable, "-P", "-m", "softgraft", *arguments]
    process = subprocess.Popen(command, stdout=inside, stderr=inside, stdin=inside, env=environment)
    os.close(inside)
    pieces: list[bytes] = []
    # Linux reports the end of a terminal as an error.
    with suppress(OSError):
        while piece := os.read(terminal, 65536):
            pieces.append(piece)
    os.close(terminal)
    assert process.wait(60) == 0
    return b"".join(pieces).decode()


def test_an_unexpected_error_is_shown_safely(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, make_domain: Callable[..., Domain]
) -> None:
    place = str(make_domain("house").folder)

    def fail(*_: object, **__: object) -> None:
        raise AssertionError(HOSTILE)

    monkeypatch.setattr("softgraft.domain.domain_status", fail)
    code, out, err = run("status", place)
    assert (code, out) == (1, "")
    assert err.startswith("Traceback (most recent call last):")
    assert "AssertionError: \\x1b]0;owned\\x07" in err
    assert FORBIDDEN.search(err) is None
