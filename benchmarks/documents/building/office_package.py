"""XLSX and PPTX from values and shapes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from benchmarks.documents.building.archive import OFFICE_RELATIONS, XML, content_types, pack, relations

_SHEET = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_SHEET_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_SLIDE_TYPE = "application/vnd.openxmlformats-officedocument.presentationml"
_SLIDE_SPACES = (
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" '
    f'xmlns:r="{OFFICE_RELATIONS}" xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"'
)
# The formats of numbers, by name.
FORMATS = {
    "general": "General",
    "date": "yyyy\\-mm\\-dd",
    "percent": "0.0%",
    "euro": '#,##0.00\\ "€"',
    "time": "hh:mm",
    "whole": "0",
    "padded": "000000",
}
_INLINE = re.compile(r'<c r="(\w+)" t="inlineStr"><is>(.*?)</is></c>', re.DOTALL)
Value = str | float | bool | None | tuple[float, str]


def numbers_sheet(
    rows: Sequence[Sequence[Value]], *, first: str = "A1", extra: str = "", hidden: Sequence[int] = ()
) -> str:
    """A sheet's XML. A value is a text (XML if it starts with `<`), a number, or a number and its format's name."""
    left, top = ord(first[0]) - 65, int(first[1:])
    drawn: list[str] = []
    for y, row in enumerate(rows, start=top):
        shown = "".join(_cell(f"{chr(65 + left + x)}{y}", value) for x, value in enumerate(row) if value is not None)
        drawn.append(f'<row r="{y}"{_mark("hidden", "1", y in hidden)}>{shown}</row>')
    return f'{XML}<worksheet xmlns="{_SHEET}"><sheetData>{"".join(drawn)}</sheetData>{extra}</worksheet>'


def _cell(place: str, value: Value) -> str:
    if isinstance(value, bool):
        return f'<c r="{place}" t="b"><v>{int(value)}</v></c>'
    if isinstance(value, tuple):
        return f'<c r="{place}" s="{[*FORMATS].index(value[1])}"><v>{value[0]!r}</v></c>'
    if isinstance(value, str):
        if value.startswith("<c"):
            return value.replace("<c", f'<c r="{place}"', 1)
        inner = value if value.startswith("<") else f'<t xml:space="preserve">{value}</t>'
        return f'<c r="{place}" t="inlineStr"><is>{inner}</is></c>'
    return f'<c r="{place}"><v>{value!r}</v></c>'


def xlsx(
    sheets: Mapping[str, str], *, hidden: Sequence[str] = (), since_1904: bool = False, inline: bool = False
) -> bytes:
    """A workbook. Its texts are in a list that all sheets share, as Excel writes them, or `inline` in the cells."""
    shared: list[str] = []

    def share(found: re.Match[str]) -> str:
        shared.append(found[2])
        return f'<c r="{found[1]}" t="s"><v>{len(shared) - 1}</v></c>'

    if not inline:
        sheets = {name: _INLINE.sub(share, sheet) for name, sheet in sheets.items()}
    listed = "".join(
        f'<sheet name="{name}" sheetId="{n}" r:id="rId{n}"{_mark("state", "hidden", name in hidden)}/>'
        for n, name in enumerate(sheets, start=1)
    )
    kept = '<workbookPr date1904="1"/>' if since_1904 else ""
    forms = "".join(
        f'<numFmt numFmtId="{164 + n}" formatCode="{_quoted(form)}"/>' for n, form in enumerate(FORMATS.values())
    )
    used = "".join(
        f'<xf numFmtId="{164 + n}" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>'
        for n in range(len(FORMATS))
    )
    plain = (
        '<fonts count="1"><font><sz val="11"/><name val="Calibri"/></font></fonts><fills count="1"><fill><patternFill '
        'patternType="none"/></fill></fills><borders count="1"><border><left/><right/><top/><bottom/></border>'
        "</borders>"
        '<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>'
    )
    styles = (
        f'{XML}<styleSheet xmlns="{_SHEET}"><numFmts count="{len(FORMATS)}">{forms}</numFmts>{plain}'
        f'<cellXfs count="{len(FORMATS)}">{used}</cellXfs></styleSheet>'
    )
    links = {f"rId{n}": ("worksheet", f"worksheets/sheet{n}.xml") for n in range(1, len(sheets) + 1)}
    links |= {"rId90": ("styles", "styles.xml"), "rId91": ("sharedStrings", "sharedStrings.xml")}
    types = {f"xl/worksheets/sheet{n}.xml": f"{_SHEET_TYPE}.worksheet+xml" for n in range(1, len(sheets) + 1)}
    types |= {"xl/workbook.xml": f"{_SHEET_TYPE}.sheet.main+xml", "xl/styles.xml": f"{_SHEET_TYPE}.styles+xml"}
    types |= {"xl/sharedStrings.xml": f"{_SHEET_TYPE}.sharedStrings+xml"}
    return pack(
        {
            "[Content_Types].xml": content_types(types),
            "_rels/.rels": relations({"rId1": ("officeDocument", "xl/workbook.xml")}),
            "xl/workbook.xml": f'{XML}<workbook xmlns="{_SHEET}" xmlns:r="{OFFICE_RELATIONS}">{kept}'
            f"<sheets>{listed}</sheets>"
            "</workbook>",
            "xl/_rels/workbook.xml.rels": relations(links),
            "xl/styles.xml": styles,
            "xl/sharedStrings.xml": f'{XML}<sst xmlns="{_SHEET}">{"".join(f"<si>{one}</si>" for one in shared)}</sst>',
            **{f"xl/worksheets/sheet{n}.xml": sheet for n, sheet in enumerate(sheets.values(), start=1)},
        }
    )


def _mark(name: str, value: str, wanted: bool) -> str:
    return f' {name}="{value}"' if wanted else ""


def _quoted(form: str) -> str:
    return form.replace('"', "&quot;")


def words_run(text: str, properties: str = "") -> str:
    """A run of text on a slide."""
    return f"<a:r><a:rPr {properties}/><a:t>{text}</a:t></a:r>"


def slide_par(content: str, properties: str = "") -> str:
    """A paragraph on a slide, of text or of runs."""
    inner = content if content.startswith("<") else words_run(content)
    return f"<a:p><a:pPr {properties}/>{inner}</a:p>" if "<" not in properties else f"<a:p>{properties}{inner}</a:p>"


def shape(*paragraphs: str, kind: str = "", number: int = 2, top: int = 0) -> str:
    """A shape with text. A `kind` (title, body, sldNum) makes it a placeholder."""
    holder = f'<p:ph type="{kind}"/>' if kind else ""
    inner = "".join(one if one.startswith("<a:p>") else slide_par(one) for one in paragraphs)
    place = f'<a:xfrm><a:off x="0" y="{top}"/><a:ext cx="9000000" cy="900000"/></a:xfrm>'
    if not kind:
        place += '<a:prstGeom prst="rect"><a:avLst/></a:prstGeom>'
    return (
        f'<p:sp><p:nvSpPr><p:cNvPr id="{number}" name="Shape '
        f'{number}"/><p:cNvSpPr/><p:nvPr>{holder}</p:nvPr></p:nvSpPr>'
        f"<p:spPr>{place}</p:spPr><p:txBody><a:bodyPr/>{inner}</p:txBody></p:sp>"
    )


def slide_table(*rows: Sequence[str]) -> str:
    """A table on a slide. A cell that starts with `<` is complete."""

    def drawn(text: str) -> str:
        return (
            text if text.startswith("<") else f"<a:tc><a:txBody><a:bodyPr/>{slide_par(text)}</a:txBody><a:tcPr/></a:tc>"
        )

    lines = "".join(f'<a:tr h="300000">{"".join(map(drawn, row))}</a:tr>' for row in rows)
    columns = '<a:gridCol w="3000000"/>' * max(len(row) for row in rows)
    return (
        '<p:graphicFrame><p:nvGraphicFramePr><p:cNvPr id="8" name="Table"/><p:cNvGraphicFramePr/><p:nvPr/>'
        '</p:nvGraphicFramePr><p:xfrm><a:off x="0" y="5000"/><a:ext cx="9000000" cy="900000"/></p:xfrm><a:graphic>'
        "<a:graphicData "
        'uri="http://schemas.openxmlformats.org/drawingml/2006/table">'
        f'<a:tbl><a:tblPr firstRow="1"/><a:tblGrid>{columns}</a:tblGrid>{lines}</a:tbl></a:graphicData></a:graphic>'
        "</p:graphicFrame>"
    )


def group(*shapes: str) -> str:
    """Shapes that move together."""
    return (
        '<p:grpSp><p:nvGrpSpPr><p:cNvPr id="20" name="Group"/><p:cNvGrpSpPr/><p:nvPr/></p:nvGrpSpPr><p:grpSpPr/>'
        f"{''.join(shapes)}</p:grpSp>"
    )


def _tree(kind: str, shapes: str, attributes: str = "") -> str:
    return (
        f'{XML}<p:{kind} {_SLIDE_SPACES}{attributes}><p:cSld><p:spTree><p:nvGrpSpPr><p:cNvPr id="1" name=""/>'
        f"<p:cNvGrpSpPr/><p:nvPr/></p:nvGrpSpPr><p:grpSpPr/>{shapes}</p:spTree></p:cSld></p:{kind}>"
    )


def pptx(slides: Sequence[str], *, order: Sequence[int] = (), hidden: Sequence[int] = (), notes: str = "") -> bytes:
    """A presentation. `order` are the numbers of the slides' files as they are shown; `notes` belong to slide 1."""
    numbers = range(1, len(slides) + 1)
    shown = "".join(f'<p:sldId id="{255 + n}" r:id="rId{n}"/>' for n in order or numbers)
    types = {"ppt/presentation.xml": f"{_SLIDE_TYPE}.presentation.main+xml"}
    types |= {f"ppt/slides/slide{n}.xml": f"{_SLIDE_TYPE}.slide+xml" for n in numbers}
    types |= {"ppt/slideLayouts/slideLayout1.xml": f"{_SLIDE_TYPE}.slideLayout+xml"}
    types |= {"ppt/slideMasters/slideMaster1.xml": f"{_SLIDE_TYPE}.slideMaster+xml"}
    parts = {
        "ppt/presentation.xml": f"{XML}<p:presentation {_SLIDE_SPACES}><p:sldMasterIdLst>"
        '<p:sldMasterId id="2147483648" '
        f'r:id="rId90"/></p:sldMasterIdLst><p:sldIdLst>{shown}</p:sldIdLst><p:sldSz cx="9144000" cy="6858000"/>'
        '<p:notesSz cx="6858000" cy="9144000"/></p:presentation>',
        "ppt/_rels/presentation.xml.rels": relations(
            {f"rId{n}": ("slide", f"slides/slide{n}.xml") for n in numbers}
            | {"rId90": ("slideMaster", "slideMasters/slideMaster1.xml")}
        ),
        "ppt/slideMasters/slideMaster1.xml": _tree("sldMaster", ""),
        "ppt/slideMasters/_rels/slideMaster1.xml.rels": relations(
            {"rId1": ("slideLayout", "../slideLayouts/slideLayout1.xml")}
        ),
        "ppt/slideLayouts/slideLayout1.xml": _tree("sldLayout", ""),
        "ppt/slideLayouts/_rels/slideLayout1.xml.rels": relations(
            {"rId1": ("slideMaster", "../slideMasters/slideMaster1.xml")}
        ),
    }
    for number, content in enumerate(slides, start=1):
        links = {"rId1": ("slideLayout", "../slideLayouts/slideLayout1.xml")}
        if notes and number == 1:
            links["rId2"] = ("notesSlide", "../notesSlides/notesSlide1.xml")
            parts["ppt/notesSlides/notesSlide1.xml"] = _tree("notes", shape(notes, kind="body"))
            parts["ppt/notesSlides/_rels/notesSlide1.xml.rels"] = relations({"rId1": ("slide", "../slides/slide1.xml")})
            types["ppt/notesSlides/notesSlide1.xml"] = f"{_SLIDE_TYPE}.notesSlide+xml"
        parts[f"ppt/slides/slide{number}.xml"] = _tree("sld", content, ' show="0"' * (number in hidden))
        parts[f"ppt/slides/_rels/slide{number}.xml.rels"] = relations(links)
    head = {"[Content_Types].xml": content_types(types)}
    return pack(head | {"_rels/.rels": relations({"rId1": ("officeDocument", "ppt/presentation.xml")})} | parts)
