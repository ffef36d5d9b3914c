"""Citations in the terminal: a quote that the answer contains is not printed again."""

from __future__ import annotations

from typing import Any

import pytest

from softgraft.commands.answer import print_citations
from softgraft.jobs.transcript import citation_location


def citation(quote: str, start: int) -> dict[str, Any]:
    return {"quote": quote, "doc_id": "fees", "title": "Fees", "heading": "", "page": None, "start": start, "end": 99}


def test_a_quote_with_markup_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    cited = [citation("Click **OK**\nto [confirm](/x).", 1), citation("It is free.", 2), citation("It is free.", 2)]
    print_citations(cited, "“Click OK to confirm.” And it costs nothing.")
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["    Fees (fees, characters 1 to 99)", '  "It is free."', "    Fees (fees, characters 2 to 99)"]


def test_the_locations_of_two_quotes_begin_with_their_words(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = "A lost card is replaced within five working days.", "它是免费的，并且会在五天内送达。"
    print_citations([citation(first, 1), citation(second, 2)], f"“{first}”\n“{second}”")
    assert capsys.readouterr().out.splitlines() == [
        "    A lost card is replaced …: Fees (fees, characters 1 to 99)",
        "    它是免费的，并且…: Fees (fees, characters 2 to 99)",
    ]


def test_a_quote_from_a_recognised_page_says_so() -> None:
    scanned = {**citation("It is free.", 2), "page": 3, "ocr": True}
    assert citation_location(scanned) == "Fees, page 3, read by OCR (fees, characters 2 to 99)"
