"""Every passage with a part of a table names the columns of that part."""

from __future__ import annotations

import re

import pytest

from retrieval import Document, Passage, split_document
from retrieval.conversion.converted import Converted, MarkdownWriter
from retrieval.documents import passage_text

LIMIT = 40
COLUMNS = ("Depot", "Opens", "Hire fee", "Late fee")
ROWS = [(f"Depot{n}", f"{n % 12} o'clock", f"{n + 100} euros", f"{n + 500} euros") for n in range(60)]


def count_tokens(text: str) -> int:
    return 2 + sum(-(-len(word) // 4) for word in re.findall(r"\w+|[^\w\s]", text))


def split(text: str, limit: int = LIMIT, title: str = "Hire") -> list[Passage]:
    passages = split_document(Document("d", title, text, "d", "d.md", "", ""), count_tokens, limit)
    assert all(text[one.start : one.end] == one.text for one in passages)
    assert all(count_tokens(passage_text(one)) <= limit for one in passages)
    assert "".join("".join(one.text for one in passages).split()) in "".join(text.split())
    return passages


def split_written(writer: MarkdownWriter, limit: int = LIMIT) -> list[Passage]:
    converted = Converted(writer.text())
    document = Document("d", "Hire", converted.text, "d", "d.html", "", "", (), "plain", converted.marks or ())
    passages = split_document(document, count_tokens, limit)
    assert all(converted.text[one.start : one.end] == one.text for one in passages)
    assert all(count_tokens(passage_text(one)) <= limit for one in passages)
    return passages


def markdown(columns: tuple[str, ...], rows: list[tuple[str, ...]], border: str = "| ") -> str:
    def line(cells: tuple[str, ...]) -> str:
        return f"{border}{' | '.join(cells)}{border[::-1]}"

    return "\n".join([line(columns), line(("---",) * len(columns)), *map(line, rows)])


@pytest.mark.parametrize("border", ["| ", ""])
def test_rows_of_a_markdown_table_name_their_columns(border: str) -> None:
    passages = split(f"# Hire\n\n## Fees\n\nOur fees.\n\n{markdown(COLUMNS, ROWS, border)}\n\nPay at once.")
    rows = [one for one in passages if re.search(r"Depot\d", one.text)]
    assert len(rows) > 5
    for passage in rows:
        assert all(name in passage_text(passage) for name in COLUMNS)
    assert rows[-1].heading == "Fees > Depot | Opens | Hire fee | Late fee"
    assert passages[-1].text == "Pay at once."
    assert passages[-1].heading == "Fees"


def test_rows_of_a_converted_table_name_their_columns() -> None:
    writer = MarkdownWriter()
    for row in [COLUMNS, *ROWS]:
        writer.row(row)
    for passage in split_written(writer):
        assert all(name in passage_text(passage) for name in COLUMNS)


def test_a_row_without_names_above_it_is_no_header() -> None:
    writer = MarkdownWriter()
    for number in range(40):
        writer.row([str(number), str(number * number), "a b c"])
    assert {passage.heading for passage in split_written(writer)} == {""}


def test_the_years_of_a_header_are_names() -> None:
    writer = MarkdownWriter()
    writer.row(["Fee", "2023", "2024"])
    for number in range(40):
        writer.row([f"Fee {number}", "12", "13"])
    assert split_written(writer)[-1].heading == "Fee | 2023 | 2024"


def test_a_cell_of_a_wide_table_names_its_row_and_column() -> None:
    columns = ("Depot", *(f"measure {letter}" for letter in "abcdefghijklmnopqrstuvwxyz"))
    rows = [(f"Depot{n}", *(f"{n}{k:02}" for k in range(26))) for n in range(1, 5)]
    passages = split(markdown(columns, rows))
    for number, row in enumerate(rows, start=1):
        for name, cell in list(zip(columns, row, strict=True))[1:]:
            [passage] = [one for one in passages if re.search(rf"\b{cell}\b", one.text)]
            assert name in passage_text(passage)
            assert f"Depot{number}" in passage_text(passage)


def test_a_long_cell_names_its_row_and_column_in_every_piece() -> None:
    long = " ".join(f"word{n}" for n in range(100))
    passages = split(markdown(("Depot", "Rule"), [("North", "none"), ("South", long), ("West", "none")]))
    pieces = [one for one in passages if "word" in one.text]
    assert len(pieces) > 3
    for passage in pieces[1:]:
        assert passage.heading in {"Depot: South | Rule", "Depot | Rule"}
        assert "South" in passage_text(passage)


def test_a_bar_within_a_cell_does_not_shift_the_columns() -> None:
    long = " ".join(f"w{n}" for n in range(60))
    passages = split(markdown(("Depot", "Keys", "Rule"), [(r"A \| B", "<b>x</b>", long)]))
    assert [one.heading for one in passages if "w50" in one.text] == ["Depot: A \\| B | Rule"]


def test_a_table_in_a_list_or_a_quotation_names_its_columns() -> None:
    table = markdown(COLUMNS, ROWS)
    for text in (
        "- Fees:\n\n" + "\n".join(f"  {line}" for line in table.split("\n")),
        "\n".join(f"> {line}" for line in table.split("\n")),
    ):
        for passage in split(text):
            assert "Depot5" not in passage.text or all(name in passage_text(passage) for name in COLUMNS)


def test_too_many_columns_for_the_limit_leave_tokens_for_the_text() -> None:
    columns = tuple(f"a very long name of the column number {n}, which goes on and on and on" for n in range(8))
    passages = split(markdown(columns, [tuple(f"value{n}{k}" for k in range(8)) for n in range(3)]), 24)
    assert sum("value" in one.text for one in passages) == 24
