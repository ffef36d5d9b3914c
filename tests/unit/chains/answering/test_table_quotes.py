"""The quote of a row of a table is exact, and its heading names the columns."""

from __future__ import annotations

import re

import pytest

from chains.answering.answer_writer import quote_citation
from chains.answering.citations import cite
from chains.answering.evidence import passage_input
from retrieval import Document, Passage, split_document
from retrieval.conversion.converted import Converted, MarkdownWriter
from retrieval.documents import Writing
from retrieval.ranking.evidence_sentences import evidence_sentences

ROWS = [("Town", "Setup", "Closing"), *((f"Town{n}", f"{n + 10} euros", f"{n + 700} euros") for n in range(40))]


def count_tokens(text: str) -> int:
    return 2 + sum(-(-len(word) // 4) for word in re.findall(r"\w+|[^\w\s]", text))


def document(writing: Writing) -> Document:
    if writing == "plain":
        writer = MarkdownWriter()
        writer.heading(2, "Fees")
        for row in ROWS:
            writer.row(row)
        converted = Converted(writer.text())
        return Document("d", "Shop", converted.text, "d", "d.html", "", "", (), "plain", converted.marks or ())
    head, *rows = (f"| {' | '.join(row)} |" for row in ROWS)
    return Document("d", "Shop", "\n".join(["## Fees", "", head, "|---|---|---|", *rows]), "d", "d.md", "", "")


@pytest.mark.parametrize("writing", ["markdown", "plain"])
@pytest.mark.parametrize("row", [ROWS[1], ROWS[20], ROWS[40]])
def test_the_heading_of_a_quoted_row_names_its_columns(writing: Writing, row: tuple[str, ...]) -> None:
    whole = document(writing)
    passages = split_document(whole, count_tokens, 48)
    [passage] = [one for one in passages if re.search(rf"\b{row[0]}\b", one.text)]
    [sentence] = [one for one in evidence_sentences(passage) if re.search(rf"\b{row[0]}\b", one.text)]
    quoted = quote_citation(sentence, sentence.text, 0)
    [cited] = cite(f"{row[0]} costs {row[1]} and {row[2]}.", [passage])
    for citation in (quoted, cited):
        assert citation.quote == whole.text[citation.start : citation.end] == " | ".join(row)
        assert citation.heading == "Fees > Town | Setup | Closing"
    # A model reads them as well, and a row is not taken for the header of those after it.
    shown = passage_input(passage)
    assert "Closing" in shown.heading + shown.text
    assert sentence.in_context.count("Town") <= 3


def test_a_quote_of_converted_text_is_shown_as_it_was_written() -> None:
    text = "Copy them:\n\nkeytool <b> --to __init__\n\n- 3 degrees outside\n\n# 4 is free"
    passage = Passage("p", "d", "T", "", text, 0, len(text), None, "plain")
    sentences = evidence_sentences(passage)
    assert [one.text for one in sentences] == [
        "Copy them:",
        "keytool <b> --to __init__",
        "- 3 degrees outside",
        "# 4 is free",
    ]
    assert "keytool <b> --to __init__" in sentences[1].in_context
    assert passage_input(passage).text == text
