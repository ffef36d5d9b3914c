"""Citations in the terminal: a quote that the answer contains is not printed again."""

from __future__ import annotations

from typing import Any

import pytest

from softgraft.commands.answer import print_citations


def citation(quote: str, start: int) -> dict[str, Any]:
    return {"quote": quote, "doc_id": "fees", "title": "Fees", "heading": "", "page": None, "start": start, "end": 99}


def test_a_quote_with_markup_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    cited = [citation("Click **OK**\nto [confirm](/x).", 1), citation("It is free.", 2), citation("It is free.", 2)]
    print_citations(cited, "“Click OK to confirm.” And it costs nothing.")
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["    Fees (fees, characters 1 to 99)", '  "It is free."', "    Fees (fees, characters 2 to 99)"]
