"""CSV: text, title and id of a row, delimiters and quotes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval import ConversionError, Document, convert_file, ingest, open_index
from retrieval.conversion.format_csv import read_rows
from retrieval.encoders.encoder import Encoder


def converted(tmp_path: Path, data: str | bytes, name: str = "prices.csv") -> list[Document]:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return convert_file(path, tmp_path)


def test_known_columns(tmp_path: Path) -> None:
    first, second = converted(
        tmp_path, b'\xef\xbb\xbfID,Title,text,Group,url\r\na,Fees,"One,\r\n""two""",g,http://x\r\nb,,Three.,,\r\n'
    )
    assert (first.id, first.title, first.group, first.source) == ("a", "Fees", "g", "prices.csv")
    assert first.text == 'One,\n"two"\n\nurl: http://x'
    assert (second.id, second.title, second.group, second.text) == ("b", "b", "b", "Three.")


def test_other_columns_are_lines_of_the_text(tmp_path: Path) -> None:
    first, second = converted(tmp_path, "service; price;\ncard;12 €;x\n\n;;\nloan;0,5 %;\n", "shop/prices.csv")
    assert (first.id, first.title, first.text) == (
        "shop/prices#2",
        "card",
        "service: card\nprice: 12 €\ncolumn 3: x",
    )
    # Numbered as in a spreadsheet, including empty rows.
    assert (second.id, second.text) == ("shop/prices#5", "service: loan\nprice: 0,5 %")


@pytest.mark.parametrize(
    ("data", "cells"),
    [
        ("a,b\n1;2,3\n", "a: 1;2\nb: 3"),
        ("a\tb\n1,5\t2\n", "a: 1,5\nb: 2"),
        ("a|b\n1|2\n", "a: 1\nb: 2"),
        ("sep=;\na,b;c\n1,2;3\n", "a,b: 1,2\nc: 3"),
        ("note\nsingle words\n", "note: single words"),
        ("a;b\n1,2,3;4,5,6\n7,8,9;0,0,0\n", "a: 1,2,3\nb: 4,5,6"),
    ],
)
def test_the_delimiter_is_the_one_that_fits(tmp_path: Path, data: str, cells: str) -> None:
    assert converted(tmp_path, data)[0].text == cells


def test_a_cell_may_be_long(tmp_path: Path) -> None:
    assert len(converted(tmp_path, "text,b\n" + "x" * 300_000 + ",\n")[0].text) == 300_000


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ('a,b\n1,2\n3,"4\n5,6\n', "prices.csv, line 3: a quotation mark does not close properly"),
        ("id,text\nx,a\nx,b\n", "prices.csv, line 3: the id 'x' is already used in line 2"),
        ("id,text\nx,\n", "prices.csv, line 2: 'text' is empty"),
        ("id,note\nx,\n", "prices.csv, line 2: there is nothing but id"),
        (b"a,b\n\xe4,2\n", "prices.csv is not UTF-8"),
        (bytes(range(256)) * 4, "prices.csv contains binary data"),
        (b"\xff\xfea\x00\x00\xd8", "prices.csv begins as UTF-16-LE and is not"),
    ],
)
def test_problems_are_reported_with_their_line(tmp_path: Path, data: str | bytes, message: str) -> None:
    with pytest.raises(ConversionError) as caught:
        converted(tmp_path, data)
    assert message in caught.value.found


def test_a_column_that_is_probably_misspelt_is_noted() -> None:
    found = read_rows(b"text,titel,city\nOne.,T,Bern\n", "t.csv")
    assert found.rows[0].text == "One.\n\ntitel: T\ncity: Bern"
    assert found.notes[0] == "the column 'titel' became text; did you mean 'title'?"
    assert read_rows(b"text,title,titles\nOne.,T,U\n", "t.csv").notes == ()


def test_a_header_alone_has_no_rows(tmp_path: Path) -> None:
    assert converted(tmp_path, "a,b\n") == converted(tmp_path, "") == []


@pytest.mark.parametrize(
    ("data", "texts", "note"),
    [
        ("a,b\n1,2\n1,2,3\n", ["a: 1\nb: 2", "a: 1\nb: 2\ncolumn 3: 3"], "line 3: 3 cells under a header of 2"),
        ("a,b\nx\nx,y\n", ["a: x", "a: x\nb: y"], "line 2: 1 cells under a header of 2; the others were read as empty"),
        ('a,b\n"x\ny",z\nx\n', ["a: x y\nb: z", "a: x"], "line 4: 1 cells"),
        ("sep=;\na;b\nx\n", ["a: x"], "line 3: 1 cells"),
        ("id,text\nx,Open at nine, not at eight, daily.\n", ["Open at nine, not at eight, daily."], "as one text"),
        ("id;text\nx;1,5 of it; 2; all\n", ["1,5 of it; 2; all"], "line 2: 4 cells under a header of 2"),
        ("Price list\n\na,b\nx,y\n", ["a: x\nb: y"], "line 1: a title above the header was left out"),
        ("Price list,,\na,b,c\nx,y,z\n", ["a: x\nb: y\nc: z"], "line 1: a title above the header was left out"),
        ("text,Text\na,b\n", ["a\n\ntext (2): b"], "the column 'text' occurs twice; the second is read as 'text (2)'"),
        ("price,price\n1,2\n", ["price: 1\nprice (2): 2"], "the column 'price' occurs twice"),
        ("id,title\na,b\n", ["title: b"], ""),
        ("id,text\nx,\ny,Text.\n", ["Text."], "line 2: 'text' is empty; the row was left out"),
        ("id,text,city\nx,,Ulm\n", ["city: Ulm"], ""),
        (
            "Ulm,12.5\nBern,14\n",
            ["column 1: Ulm\ncolumn 2: 12.5", "column 1: Bern\ncolumn 2: 14"],
            "there is no header",
        ),
        ("1,Open at nine on weekdays.\n", ["column 1: 1\ncolumn 2: Open at nine on weekdays."], "there is no header"),
        ("Ulm,2024-05-01\n", ["column 1: Ulm\ncolumn 2: 2024-05-01"], "there is no header"),
    ],
)
def test_irregular_rows_are_read_and_noted(data: str, texts: list[str], note: str) -> None:
    found = read_rows(data.encode(), "t.csv")
    assert [row.text for row in found.rows] == texts
    assert note in "\n".join(found.notes)


@pytest.mark.parametrize(
    "header",
    [
        "city,2023,2024",
        "size,10,20,30",
        "No. 1,No. 2",
        "Art.-Nr.,Price in €",
        "Fees incl. VAT.,10%",
        "city,2024-05-01,2024-05-02",
        "a,b,c",
    ],
)
def test_headers_that_look_a_little_like_rows(header: str) -> None:
    names = header.split(",")
    found = read_rows(f"{header}\n{','.join('x' for _ in names)}\n".encode(), "t.csv")
    assert [row.text for row in found.rows] == ["\n".join(f"{name}: x" for name in names)]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_every_dialect_reads_the_same(encoding: str, end: str, delimiter: str) -> None:
    lines = ["id", "text", "city"], ["1", '"Öffnet um neun,\nschließt um fünf; immer.\t"', "Köln"]
    data = "".join(delimiter.join(cells) + end for cells in lines)
    [row] = read_rows(data.encode(encoding), "t.csv").rows
    assert (row.id, row.text) == ("1", "Öffnet um neun,\nschließt um fünf; immer.\n\ncity: Köln")
    assert row.metadata == {"city": "Köln"}


def test_spaces_after_the_delimiter_and_one_column_with_commas() -> None:
    assert [row.text for row in read_rows(b'a, b\n"x, y", "z, w"\n', "t.csv").rows] == ["a: x, y\nb: z, w"]
    assert [row.text for row in read_rows(b"text\nOne, two.\nThree, four; five.\n", "t.csv").rows] == [
        "One, two.",
        "Three, four; five.",
    ]


def test_a_very_wide_row_keeps_every_cell() -> None:
    names = [f"measure {number}" for number in range(3000)]
    [row] = read_rows(f"{','.join(names)}\n{','.join('x' for _ in names)}\n".encode(), "t.csv").rows
    assert row.text.split("\n") == [f"{name}: x" for name in names]


def test_columns_of_numbers_are_numbers_in_the_metadata_alone() -> None:
    found = read_rows(b"name,year,price,postcode,mixed\nA,2024,12.50,01067,1\nB,2023,,89073,x\n", "t.csv").rows
    assert found[0].metadata == {"name": "A", "year": 2024, "price": 12.5, "postcode": "01067", "mixed": "1"}
    assert "price: 12.50" in found[0].text
    assert "price" not in found[1].metadata


def test_the_metadata_of_a_wide_row_is_limited() -> None:
    names = [f"measure {number}" for number in range(3000)]
    found = read_rows(f"{','.join(names)}\n{','.join('x' for _ in names)}\n".encode(), "t.csv")
    assert 100 < len(found.rows[0].metadata) < 1000
    assert "too long for the metadata: measure " in "\n".join(found.notes)
    assert max(map(len, found.notes)) < 600


def test_many_remarks_are_counted() -> None:
    notes = read_rows(b"a,b\n" + b"x\n" * 9, "t.csv").notes
    assert notes[-1] == "and 4 more lines like these"


cells = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8).filter(str.strip)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(cells, cells), min_size=1, max_size=6),
    delimiter=st.sampled_from(",;\t|"),
)
def test_every_cell_is_in_its_document(rows: Sequence[tuple[str, str]], delimiter: str) -> None:
    def quoted(cell: str) -> str:
        return '"' + cell.replace('"', '""') + '"'

    lines = [delimiter.join(map(quoted, row)) for row in [("first", "second"), *rows]]
    results = read_rows("\n".join(lines).encode(), "t.csv").rows
    assert [row.text for row in results] == [f"first: {a.strip()}\nsecond: {b.strip()}" for a, b in rows]
    assert len({row.id for row in results}) == len(rows)


def test_an_edited_row_is_the_only_one_embedded_again(tmp_path: Path, encoder: Encoder) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    lines = ["service,price", *(f"service {number},{number} euros" for number in range(5))]
    (docs / "prices.csv").write_text("\n".join(lines))
    assert ingest(docs, tmp_path / "index", encoder).added == 5
    lines[3] = "another service,9 euros"
    (docs / "prices.csv").write_text("\n".join(lines))
    report = ingest(docs, tmp_path / "index", encoder)
    assert (report.changed, report.unchanged, report.embedded) == (1, 4, 1)
    with open_index(tmp_path / "index", encoder) as index:
        assert index.document("prices#4").text == "service: another service\nprice: 9 euros"
