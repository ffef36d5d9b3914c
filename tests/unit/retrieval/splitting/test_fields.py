"""A row of a file is split between its fields, and every passage says which row it is from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from retrieval import Document, Passage, convert_file, split_document
from retrieval.documents import passage_text

LIMIT = 32


def count_tokens(text: str) -> int:
    return 2 + sum(-(-len(word) // 4) for word in re.findall(r"\w+|[^\w\s]", text))


def split(text: str, title: str = "pumps", limit: int = LIMIT) -> list[Passage]:
    document = Document("pumps#1", title, text, "pumps#1", "pumps.csv", "", "csv/1", writing="fields")
    passages = split_document(document, count_tokens, limit)
    assert all(text[one.start : one.end] == one.text for one in passages)
    assert all(count_tokens(passage_text(one)) <= limit for one in passages)
    return passages


FIELDS = [f"measured flow {n}: {n}.5 litres. Checked" for n in range(40)]


def test_every_field_is_whole_and_every_passage_names_the_row() -> None:
    passages = split("\n".join(["model: Rhine 40", *FIELDS]))
    assert [line for one in passages for line in one.text.split("\n")] == ["model: Rhine 40", *FIELDS]
    assert all("Rhine 40" in passage_text(one) for one in passages)


def test_a_title_of_its_own_names_the_row() -> None:
    passages = split("\n".join(["model: Rhine 40", *FIELDS]), title="Rhine pump")
    assert {one.heading for one in passages} == {""}
    assert {one.title for one in passages} == {"Rhine pump"}


def test_a_long_value_names_its_field_in_every_piece() -> None:
    value = " ".join(f"word{n}" for n in range(90))
    pieces = [one for one in split(f"model: Rhine 40\nuse: {value}\nflow: 3") if "word" in one.text]
    assert len(pieces) > 3
    assert {one.heading for one in pieces[1:]} == {"model: Rhine 40 > use"}


def test_the_text_before_the_fields_is_markdown() -> None:
    text = "# About\n\nThe **best** pump.\n\nseats <b>: 4\n# rows: <i>5</i>"
    about, fields = split(text, title="Rhine", limit=40)
    assert (about.markup, passage_text(about)) == ("markdown", "Rhine\nAbout\nThe best pump.")
    assert (fields.markup, fields.text) == ("plain", "seats <b>: 4\n# rows: <i>5</i>")


@pytest.mark.parametrize(
    "text",
    ["# Fees: abroad\n\nNote: none.", "- Opens: 9\n- Closes: 5", "A text.\n\nNote: one sentence."],
)
def test_a_markdown_text_with_colons_has_no_fields(text: str) -> None:
    document = Document("r", "R", text, "r", "r.jsonl", "", "jsonl/1", writing="fields")
    assert {one.markup for one in split_document(document, count_tokens)} == {"markdown"}


def test_the_rows_of_a_csv_file(tmp_path: Path) -> None:
    names = [f"limit {n}" for n in range(40)]
    rows = [["Rhine", *(f"{n} bar" for n in range(40))], ["Elbe", *(f"{n} psi" for n in range(40))]]
    path = tmp_path / "pumps.csv"
    path.write_text("\n".join(",".join(row) for row in [["model", *names], *rows]), "utf-8")
    for document, row in zip(convert_file(path, tmp_path), rows, strict=True):
        passages = split_document(document, count_tokens, LIMIT)
        shown = [line for one in passages for line in one.text.split("\n")]
        assert {f"{name}: {value}" for name, value in zip(names, row[1:], strict=True)} <= set(shown)
        assert all(row[0] in passage_text(one) for one in passages)


def test_a_long_sentence_is_cut_at_the_ends_of_lines() -> None:
    lines = [f"step {n} of the long verse without an end" for n in range(30)]
    document = Document("v", "", "\n".join(lines), "v", "v.txt", "", "", writing="plain")
    passages = split_document(document, count_tokens, LIMIT)
    assert [line for one in passages for line in one.text.split("\n")] == lines
