"""DOCX: all visible text is read, once, and deleted and hidden text is not."""

from __future__ import annotations

import io

import docx
import pytest

from retrieval.conversion.convert import convert_here
from tests.support.docx_files import docx_bytes, lowered, paragraph, raised, run


def converted(body: str, **parts: str) -> str:
    return convert_here(docx_bytes(body, **parts), ".docx", "a.docx").text


def sdt(content: str) -> str:
    return f"<w:sdt><w:sdtPr><w:alias w:val='NO'/></w:sdtPr><w:sdtContent>{content}</w:sdtContent></w:sdt>"


def cell(content: str, properties: str = "") -> str:
    return f"<w:tc><w:tcPr>{properties}</w:tcPr>{content if content.startswith('<w:') else paragraph(content)}</w:tc>"


def row(*cells: str, properties: str = "") -> str:
    return f"<w:tr><w:trPr>{properties}</w:trPr>{''.join(cells)}</w:tr>"


def table(*rows: str) -> str:
    return f"<w:tbl>{''.join(rows)}</w:tbl>"


def style(id_: str, name: str, more: str = "") -> str:
    return f"<w:style w:type='paragraph' w:styleId='{id_}'><w:name w:val='{name}'/>{more}</w:style>"


def formula(content: str) -> str:
    return f"<m:oMath>{content}</m:oMath>"


def math(name: str, text: str) -> str:
    return f"<m:{name}><m:r><m:t>{text}</m:t></m:r></m:{name}>"


def form(data: str) -> str:
    return field("FORM", "", f"<w:ffData>{data}</w:ffData>")


def field(instruction: str, result: str, data: str = "") -> str:
    return (
        f"<w:r><w:fldChar w:fldCharType='begin'>{data}</w:fldChar></w:r>"
        f"<w:r><w:instrText>{instruction}</w:instrText></w:r>"
        f"<w:r><w:fldChar w:fldCharType='separate'/></w:r>{result}<w:r><w:fldChar w:fldCharType='end'/></w:r>"
    )


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (run("30") + raised("2") + run(" days"), "30² days"),
        (run("10") + raised("6") + run(" bricks"), "10⁶ bricks"),
        (run("days") + raised("2"), "days[2]"),
        (run("H") + lowered("2") + run("O"), "H₂O"),
        (run("30") + run("2", "<w:position w:val='8'/><w:sz w:val='14'/>") + run(" days"), "30² days"),
        (run("30") + run("2", "<w:rStyle w:val='Up'/>") + run(" days"), "30² days"),
        (run("within 30² days"), "within 30² days"),
    ],
)
def test_raised_and_lowered_numbers_stay_apart(content: str, text: str) -> None:
    styles = (
        "<w:style w:type='character' w:styleId='Base'><w:rPr><w:vertAlign w:val='superscript'/></w:rPr></w:style>"
        "<w:style w:type='character' w:styleId='Up'><w:basedOn w:val='Base'/></w:style>"
    )
    assert converted(paragraph(content), styles=styles) == f"{text}\n"


def test_the_mark_of_a_note_that_the_author_typed() -> None:
    body = paragraph(run("within 30") + raised("2") + run(" days")) + paragraph(raised("2") + run(" Not for gifts."))
    assert converted(body) == "within 30[2] days\n\n[2] Not for gifts.\n"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (f"a {{}}{sdt(run('5 euros'))}", "a 5 euros"),
        ("a {}" + sdt(sdt(run("5 euros"))), "a 5 euros"),
        (f"a {{}}<w:ins>{run('9')}</w:ins><w:del><w:r><w:delText>7</w:delText></w:r></w:del>", "a 9"),
        (f"a {{}}<w:del>{run('7')}</w:del>", "a"),
        (f"a {{}}<w:ins><w:del>{run('7')}</w:del>{run('8')}</w:ins>", "a 8"),
        (f"a {{}}<w:moveTo>{run('here')}</w:moveTo>", "a here"),
        (f"a {{}}<w:moveFrom>{run('there')}</w:moveFrom>", "a"),
        (f"a {{}}<w:smartTag><w:smartTag>{run('Lyon')}</w:smartTag></w:smartTag>", "a Lyon"),
        (f"a {{}}<w:customXml>{run('Lyon')}</w:customXml>", "a Lyon"),
        (f"a {{}}<w:hyperlink>{run('link')}</w:hyperlink>", "a link"),
        (f"a {{}}<w:fldSimple w:instr='PAGE'>{run('3')}</w:fldSimple>", "a 3"),
        ("a {}" + field("REF x", run("3")), "a 3"),
        (
            "a {}" + field("IF " + "</w:instrText></w:r>" + field("X", run("no")) + "<w:r><w:instrText>", run("yes")),
            "a yes",
        ),
        (f"a {{}}<w:bdo w:val='rtl'>{run('b')}</w:bdo>", "a b"),
        ("a {}" + run("hidden", "<w:vanish/>") + run("b", "<w:vanish w:val='0'/>"), "a b"),
        ("a {}" + run("hidden", "<w:rStyle w:val='Hidden'/>"), "a"),
        ("a{}<w:r><w:noBreakHyphen/><w:t>b</w:t><w:tab/><w:t>c</w:t></w:r>", "a-b c"),
        ("a {}<w:r><w:sym w:font='Symbol' w:char='F0A3'/></w:r>" + run(" 30"), "a ≤ 30"),
        ("a {}<w:ruby><w:rt>" + run("kan") + "</w:rt><w:rubyBase>" + run("漢") + "</w:rubyBase></w:ruby>", "a 漢(kan)"),
        ("a {}" + formula("<m:r><m:t>A=b*h</m:t></m:r>"), "a A=b*h"),
        ("a {}" + formula(f"<m:sSup>{math('e', '10')}{math('sup', '6')}</m:sSup>"), "a 10^6"),
        ("a {}" + formula(f"<m:f>{math('num', 'a+1')}{math('den', '2')}</m:f>"), "a (a+1)/2"),
        ("a {}" + formula(f"<m:rad>{math('deg', '3')}{math('e', 'x')}</m:rad>"), "a root_3(x)"),
        ("a {}" + form("<w:checkBox><w:default w:val='0'/><w:checked/></w:checkBox>"), "a [x]"),
        (
            "a {}" + form("<w:ddList><w:result w:val='1'/><w:listEntry w:val='b'/><w:listEntry w:val='c'/></w:ddList>"),
            "a c",
        ),
    ],
)
def test_wrapped_text(content: str, text: str) -> None:
    before, after = content.split("{}")
    styles = "<w:style w:type='character' w:styleId='Hidden'><w:rPr><w:vanish/></w:rPr></w:style>"
    assert converted(paragraph(run(before) + after), styles=styles) == f"{text}\n"


def test_a_field_that_never_ends_hides_nothing() -> None:
    begin = "<w:r><w:fldChar w:fldCharType='begin'/></w:r>"
    assert converted(paragraph(run("a") + begin) + paragraph("b")) == "a\n\nb\n"


def test_content_controls_around_blocks_rows_and_cells() -> None:
    body = sdt(paragraph("block")) + table(
        sdt(row(cell("r1"), sdt(cell("c2")))), row(cell("r2"), cell(sdt(paragraph("in a cell"))))
    )
    assert converted(body) == "block\n\nr1 | c2\nr2 | in a cell\n"


def test_text_boxes_are_read_once() -> None:
    box = f"<w:txbxContent>{paragraph('call 555')}{paragraph('or 556')}</w:txbxContent>"
    drawing = (
        "<w:r><mc:AlternateContent>"
        f"<mc:Choice Requires='wps'><w:drawing><wps:txbx>{box}</wps:txbx></w:drawing></mc:Choice>"
        f"<mc:Fallback><w:pict><v:shape><v:textbox>{box}</v:textbox></v:shape></w:pict></mc:Fallback>"
        "</mc:AlternateContent></w:r>"
    )
    assert converted(paragraph(run("Before ") + drawing + run("after."))) == "Before after.\n\ncall 555\n\nor 556\n"
    pict = f"<w:r><w:pict><v:shape><v:textbox>{box}</v:textbox></v:shape></w:pict></w:r>"
    assert converted(paragraph(pict)) == "call 555\n\nor 556\n"
    shape = "<w:r><w:drawing><a:txBody><a:p><a:r><a:t>in a shape</a:t></a:r></a:p></a:txBody></w:drawing></w:r>"
    assert converted(paragraph(shape)) == "in a shape\n"


def test_a_deleted_end_of_a_paragraph_joins_it_to_the_next() -> None:
    body = paragraph("The fee is ", "<w:rPr><w:del/></w:rPr>") + paragraph("9 euros.")
    assert converted(body) == "The fee is 9 euros.\n"


def test_notes_stand_at_the_end_of_their_section() -> None:
    def mark(kind: str, id_: int) -> str:
        return f"<w:r><w:rPr><w:vertAlign w:val='superscript'/></w:rPr><w:{kind}Reference w:id='{id_}'/></w:r>"

    heading = "<w:outlineLvl w:val='0'/>"
    body = (
        paragraph("Returns", heading)
        + paragraph(run("Within 30") + mark("footnote", 4) + mark("endnote", 1) + run("(see) days."))
        + paragraph("Fees", heading)
        + paragraph(run("Free") + mark("footnote", 2) + run("."))
    )
    not_ten_squared = paragraph(run("Not 10") + raised("2") + run(" gifts."))
    footnotes = (
        f"<w:footnote w:type='separator' w:id='0'>{paragraph('NO')}</w:footnote>"
        f"<w:footnote w:id='2'>{paragraph('For members.')}</w:footnote>"
        f"<w:footnote w:id='4'>{not_ten_squared}{paragraph('More.')}</w:footnote>"
    )
    endnotes = f"<w:endnote w:id='1'>{paragraph('Law of 1999.')}</w:endnote>"
    assert converted(body, footnotes=footnotes, endnotes=endnotes) == (
        "# Returns\n\nWithin 30[1] [3] (see) days.\n\n[1] Not 10² gifts.\n\nMore.\n\n[3] Law of 1999.\n\n"
        "# Fees\n\nFree[2].\n\n[2] For members.\n"
    )


def test_headings_by_style_and_outline_level() -> None:
    styles = (
        style("berschrift1", "heading 1")
        + style("Kapitel", "Kapitel", "<w:basedOn w:val='berschrift1'/>")
        + style("Teil", "Teil", "<w:basedOn w:val='Kapitel'/>")
        + style("Abs", "Abs", "<w:pPr><w:outlineLvl w:val='1'/></w:pPr>")
        + style("T2", "Titre 2")
        + style("TocHead", "TOC Heading", "<w:basedOn w:val='Kapitel'/><w:pPr><w:outlineLvl w:val='9'/></w:pPr>")
        + style("My", "My title", "<w:basedOn w:val='Title'/>")
        + style("Title", "Title")
        + style("Loop", "Loop", "<w:basedOn w:val='Loop'/>")
    )
    names = ("My", "Kapitel", "Teil", "Abs", "T2", "TocHead", "Loop", "Missing")
    body = "".join(paragraph(name, f"<w:pStyle w:val='{name}'/>") for name in names)
    body += paragraph("Direct", "<w:outlineLvl w:val='2'/>")
    assert converted(body, styles=styles) == (
        "# My\n\n# Kapitel\n\n# Teil\n\n## Abs\n\n## T2\n\nTocHead\n\nLoop\n\nMissing\n\n### Direct\n"
    )


def test_merged_cells_stand_under_each_of_their_columns() -> None:
    document, data = docx.Document(), io.BytesIO()
    grid = document.add_table(rows=4, cols=3)
    texts = (("Region", "Product", "Units"), ("EU", "Cable", "12"), ("", "Hub", "7"), ("Opening", "", "3 euros"))
    for cells, row_texts in zip(grid.rows, texts, strict=True):
        for one, text in zip(cells.cells, row_texts, strict=True):
            one.text = text
    grid.cell(1, 0).merge(grid.cell(2, 0))
    grid.cell(3, 0).merge(grid.cell(3, 1))
    document.save(data)
    assert convert_here(data.getvalue(), ".docx", "a.docx").text == (
        "Region | Product | Units\nEU | Cable | 12\nEU | Hub | 7\nOpening | Opening | 3 euros\n"
    )


def test_rows_that_begin_later_and_deleted_rows() -> None:
    body = table(
        row(cell("a"), cell("b"), cell("c")),
        row(cell("x"), cell("y"), properties="<w:gridBefore w:val='1'/>"),
        row(cell("gone"), properties="<w:del/>"),
    )
    assert converted(body) == "a | b | c\n| x | y\n"


def test_a_spanning_cell_does_not_multiply_a_long_text() -> None:
    body = table(*[row(cell("x" * 1000, "<w:gridSpan w:val='9999999'/>"), cell("y"))] * 20)
    assert len(converted(body)) < 20 * 1300


def test_nested_tables() -> None:
    inner = table(row(cell("a"), cell("b")), row(cell("c"), cell("d")))
    assert (
        converted(table(row(cell("outer"), cell(paragraph("key") + inner + paragraph("")))))
        == "outer | key a, b; c, d\n"
    )
    box = table(row(cell(paragraph("Prices", "<w:outlineLvl w:val='0'/>") + paragraph("Free.") + inner)))
    assert converted(box) == "# Prices\n\nFree.\n\na | b\nc | d\n"
    layout = table(row(cell(paragraph("Prices", "<w:outlineLvl w:val='0'/>") + paragraph("Free.")), cell("Right.")))
    assert converted(layout) == "# Prices\n\nFree.\n\nRight.\n"


def test_a_document_nested_as_deep_as_the_parser_allows() -> None:
    deep = "<w:sdt><w:sdtContent>" * 120 + paragraph("deep") + "</w:sdtContent></w:sdt>" * 120
    assert converted(deep) == "deep\n"
    tables = "<w:tbl><w:tr><w:tc>" * 80 + paragraph("deep") + "</w:tc></w:tr></w:tbl>" * 80
    assert converted(tables) == "deep\n"
