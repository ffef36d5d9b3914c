"""XLSX, PPTX, ODT and EPUB to Markdown-like text."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from benchmarks.documents.building.office_package import (
    group,
    numbers_sheet,
    pptx,
    shape,
    slide_par,
    slide_table,
    words_run,
    xlsx,
)
from benchmarks.documents.building.open_document import epub, odt
from retrieval import ConversionError, convert_file
from retrieval.conversion.convert import convert_here
from retrieval.conversion.office.number_formats import shown


def text_of(data: bytes, suffix: str) -> str:
    return convert_here(data, suffix, f"a{suffix}").text


def test_a_workbook_shows_its_sheets_as_tables() -> None:
    first = numbers_sheet([["City", "Since"], ["Vienna", (45429, "date")], [None, (0.125, "percent")]])
    book = xlsx(
        {"Staff": first, "Old": numbers_sheet([["x"]]), "Fees": numbers_sheet([["Fee"], [4.5]])}, hidden=("Old",)
    )
    assert text_of(book, ".xlsx") == ("# Staff\n\nCity | Since\nVienna | 2024-05-17\n| 12.5%\n\n# Fees\n\nFee\n4.5\n")


def test_hidden_rows_merged_cells_and_shifted_tables() -> None:
    merged = '<mergeCells count="1"><mergeCell ref="C4:C5"/></mergeCells>'
    rows = [["Land", "City"], ["old", "old"], ["Austria", "Vienna"], [None, "Graz"]]
    sheet = numbers_sheet(rows, first="C2", hidden=(3,), extra=merged.replace("C4:C5", "C4:C5"))
    assert text_of(xlsx({"Sheet1": sheet}), ".xlsx") == "Land | City\nAustria | Vienna\nAustria | Graz\n"


def test_a_huge_merged_range_does_not_fill_memory() -> None:
    sheet = numbers_sheet([["Title"], ["a"]], extra='<mergeCells><mergeCell ref="A1:XFD1048576"/></mergeCells>')
    assert "Title" in text_of(xlsx({"S": sheet}), ".xlsx")


@pytest.mark.parametrize(
    ("value", "code", "text"),
    [
        (0.1 + 0.2, "General", "0.3"),
        (12345678901, "General", "12345678901"),
        (3.0, "General", "3"),
        (-2.5, "0.0;(0.0)", "-2.5"),
        (1234.5, '#,##0.00\\ "€"', "1,234.50 €"),
        (1234.5, '"$"#,##0.00', "$1,234.50"),
        (1234.5, "[$€-407]\\ #,##0.00", "€ 1,234.50"),
        (0.125, "0.0%", "12.5%"),
        (7, "000", "007"),
        (45429, "dd/mm/yyyy", "2024-05-17"),
        (45429.75, "yyyy\\-mm\\-dd hh:mm", "2024-05-17 18:00"),
        (0.75, "hh:mm", "18:00"),
        (1.5, "[h]:mm", "36:00"),
        (1, "yyyy-mm-dd", "1900-01-01"),
        (-1, "yyyy-mm-dd", "-1"),
        (0.5, "# ?/?", "0.5"),
    ],
)
def test_numbers_in_their_formats(value: float, code: str, text: str) -> None:
    assert shown(value, code) == text


def test_dates_since_1904() -> None:
    assert shown(43967, "yyyy-mm-dd", since_1904=True) == "2024-05-17"
    assert shown(2_957_003, "yyyy-mm-dd", since_1904=True) == "9999-12-31"


@pytest.mark.parametrize(
    ("value", "code", "since_1904"),
    [
        (2_957_004, "yyyy-mm-dd", True),
        (2_958_466, "yyyy-mm-dd", False),
        (1e305, "[h]:mm", False),
        (float("inf"), "[h]:mm:ss", False),
        (float("nan"), "[m]", False),
        (float("-inf"), "hh:mm", True),
    ],
)
def test_numbers_beyond_all_dates_stay_numbers(value: float, code: str, since_1904: bool) -> None:
    assert shown(value, code, since_1904=since_1904) == f"{value:.15g}"


def test_slides_in_their_order_with_lists_tables_and_notes() -> None:
    numbered = '<a:pPr><a:buAutoNum type="arabicPeriod" startAt="3"/></a:pPr>'
    steps = shape(*(slide_par(one, numbered) for one in ("Sign", "Send")))
    area = slide_par(
        words_run("30") + words_run("2", 'baseline="30000"') + words_run(" m of H") + words_run("2", 'baseline="-1"')
    )
    slides = [
        shape("Last", kind="title") + shape(area),
        shape("First", kind="title") + shape("top", slide_par("inner", 'lvl="1"'), kind="body") + steps,
        shape("Hidden", kind="title"),
        shape("Prices", kind="title") + group(shape("Note")) + slide_table(["Card", "Fee"], ["Gold", "40"]),
    ]
    converted = convert_here(pptx(slides, order=(2, 3, 4, 1), hidden=(3,), notes="Say hello"), ".pptx", "a.pptx")
    assert converted.title == "First"
    assert converted.text == (
        "# First\n\n- top\n  - inner\n\n- 3. Sign\n- 4. Send\n\n# Prices\n\nNote\n\nCard | Fee\nGold | 40\n\n"
        "# Last\n\n30² m of H₂\n\nSay hello\n"
    )


def test_an_odt_document() -> None:
    number = (
        '<text:list-style style:name="L1"><text:list-level-style-number text:level="1" style:num-suffix="." '
        'style:num-format="1"/><text:list-level-style-number text:level="2" style:num-suffix=")" style:num-format="a"/>'
        "</text:list-style>"
    )
    body = (
        '<text:h text:outline-level="2">Fees</text:h><text:list text:style-name="L1"><text:list-item '
        'text:start-value="4"><text:p>Sign</text:p><text:list><text:list-item><text:p>here</text:p></text:list-item>'
        "</text:list></text:list-item><text:list-item><text:p>Send</text:p></text:list-item></text:list><text:p>It is"
        '<text:s/>15<text:note text:note-class="footnote"><text:note-body><text:p>A note.</text:p></text:note-body>'
        "</text:note> euros<text:line-break/>now</text:p>"
    )
    assert text_of(odt(body, lists=number), ".odt") == (
        "## Fees\n\n- 4. Sign\n  - a) here\n- 5. Send\n\nIt is 15 euros\nnow\n\nA note.\n"
    )


def test_each_text_of_an_odt_document_is_read_once() -> None:
    box = "<draw:frame><draw:text-box><text:p>{}</text:p></draw:text-box></draw:frame>"
    nested = f"<text:p>Out{box.format('Box' + box.format('Inner'))}</text:p>"
    note = '<text:note text:note-class="footnote"><text:note-body><text:p>A note.</text:p></text:note-body></text:note>'
    comment = "<office:annotation><text:p>A comment.</text:p></office:annotation>"
    cells = "".join(
        f"<table:table-cell><text:p>{one}</text:p></table:table-cell>"
        for one in (f"Fee{note}", f"12{comment}", f"EUR{box.format('Box')}")
    )
    body = f"{nested}<table:table><table:table-row>{cells}</table:table-row></table:table>"
    assert text_of(odt(body), ".odt") == "Out\n\nBox\n\nInner\n\nFee | 12 | EUR Box\n\nA note.\n"


def test_a_book_is_read_in_the_order_of_its_spine() -> None:
    pages = {"b.xhtml": "<h1>Two</h1>", "a b.xhtml": "<h1>One</h1><p>x<a/>y</p>", "n.xhtml": "<p>note</p>"}
    converted = convert_here(epub(pages, "-n.xhtml, a b.xhtml, b.xhtml", title="Fees"), ".epub", "a.epub")
    assert (converted.title, converted.text) == ("Fees", "# One\n\nxy\n\n# Two\n\nnote\n")


@pytest.mark.parametrize("suffix", [".xlsx", ".pptx", ".odt", ".epub"])
def test_bad_files_are_refused(suffix: str) -> None:
    bomb = io.BytesIO()
    part = {".xlsx": "xl/workbook.xml", ".pptx": "ppt/presentation.xml", ".odt": "content.xml"}
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(part.get(suffix, "META-INF/container.xml"), bytes(65 * 2**20))
    empty = io.BytesIO()
    zipfile.ZipFile(empty, "w").close()
    for data, found in (
        (bomb.getvalue(), "unpacks to 65 MiB"),
        (empty.getvalue(), "another kind of archive"),
        (b"PK\x03\x04 damaged", "cannot be read as"),
        (b"\xd0\xcf\x11\xe0", "locked with a password"),
    ):
        with pytest.raises(ConversionError, match=found):
            text_of(data, suffix)


def test_a_book_without_a_package_is_refused() -> None:
    book = io.BytesIO()
    with zipfile.ZipFile(book, "w") as archive:
        archive.writestr("META-INF/container.xml", "<container><rootfiles/></container>")
    with pytest.raises(ConversionError, match=r"a\.epub names no list of its pages"):
        text_of(book.getvalue(), ".epub")


def test_entities_are_not_resolved(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret words")
    data = io.BytesIO(odt("<text:p>x</text:p>"))
    with zipfile.ZipFile(data) as archive:
        content = archive.read("content.xml").decode()
    entity = f'<!DOCTYPE a [<!ENTITY e SYSTEM "{secret.as_uri()}">]>'
    content = content.replace("?><", f"?>{entity}<", 1).replace(">x<", ">x &e;<")
    changed = io.BytesIO()
    with zipfile.ZipFile(changed, "w") as archive:
        archive.writestr("content.xml", content)
    path = tmp_path / "a.odt"
    path.write_bytes(changed.getvalue())
    assert "secret" not in convert_file(path, tmp_path)[0].text
