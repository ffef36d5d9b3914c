"""The consoles show every kind of text as it is: strings, styled text, tables, and the text beside progress bars."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import pytest
from rich.progress import Progress
from rich.text import Text

from softgraft.commands import console
from softgraft.commands.console import SafeConsole, err, out, print_json, print_left_out, print_notes, styled
from softgraft.terminal import visible

HOSTILE = "\x1b[2J\u202e\x9b [red]x[/red] :bomb:"
SHOWN = "\\x1b[2J\\u202e\\x9b [red]x[/red] :bomb:"


def test_each_kind_of_text(capsys: pytest.CaptureFixture[str]) -> None:
    out.print(HOSTILE)
    out.print(styled(HOSTILE, "bold red"), HOSTILE, sep="|")
    out.print(Text(HOSTILE))
    table = console.simple_table([HOSTILE], left=[HOSTILE])
    table.add_row(HOSTILE)
    table.caption = HOSTILE
    out.print(table)
    print_notes([HOSTILE])
    print_left_out([(HOSTILE, HOSTILE)])
    said = capsys.readouterr()
    assert said.out.count(SHOWN) == 7
    assert said.err == f"note: {SHOWN}\nleft out: {SHOWN}: {SHOWN}\n"
    assert "\x1b" not in said.out
    assert "💣" not in said.out


def test_text_beside_a_progress_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = SafeConsole(visible)
    shown.file = io.StringIO()
    made: list[Progress] = []

    class Watched(Progress):
        def __init__(self, *columns: object, **options: object) -> None:
            super().__init__(*columns, **{**options, "console": shown, "disable": False, "auto_refresh": False})  # type: ignore[arg-type]
            made.append(self)

    monkeypatch.setattr(console, "Progress", Watched)
    with console.progress_bars(True) as progress:
        progress(HOSTILE, 1, 2, HOSTILE)
        shown.print(made[0].get_renderable())
    # The columns have the width of the text before it became visible.
    assert shown.file.getvalue().count(SHOWN[:20]) >= 2
    assert "\x9b" not in shown.file.getvalue()
    assert "\u202e" not in shown.file.getvalue()


def test_secrets_are_hidden_in_answers_and_messages(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_API_KEY", "correct-horse-battery")
    # A document may show an example of a key; a message may not.
    text = "correct-horse-battery, sk-abcdefghijklmnop"
    printers: tuple[Callable[[], None], ...] = (
        lambda: out.print(text), lambda: err.print(text), lambda: err.print(styled(text, "dim")),
        lambda: print_json({"text": text}),
    )  # fmt: skip
    with console.safe_streams():
        for show in printers:
            show()
    said = capsys.readouterr()
    assert said.out == '[hidden], sk-abcdefghijklmnop\n{\n "text": "[hidden], sk-abcdefghijklmnop"\n}\n'
    assert said.err == "[hidden], [hidden]\n" * 2


def test_printed_json_holds_no_number_that_json_lacks(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"loss": float("nan"), "rows": [float("inf"), 1.5], "text": "a\x85b"})
    said = capsys.readouterr().out
    assert json.loads(said, parse_constant=pytest.fail) == {"loss": None, "rows": [None, 1.5], "text": "a\x85b"}
    assert "\\u0085" in said
