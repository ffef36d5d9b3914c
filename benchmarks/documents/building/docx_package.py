"""DOCX from the XML of its body: the markup is written as Word writes it."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.documents.building.archive import XML, content_types, pack, relations

_WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml"
SPACES = (
    'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" '
    'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships" '
    'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math" '
    'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006" '
    'xmlns:wps="http://schemas.microsoft.com/office/word/2010/wordprocessingShape" '
    'xmlns:wp="http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing" '
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" '
    'xmlns:w14="http://schemas.microsoft.com/office/word/2010/wordml" '
    'xmlns:v="urn:schemas-microsoft-com:vml"'
)
BY = 'w:id="7" w:author="A" w:date="2024-01-01T00:00:00Z"'


def run(text: str, properties: str = "") -> str:
    """A run of text."""
    return f'<w:r>{f"<w:rPr>{properties}</w:rPr>" if properties else ""}<w:t xml:space="preserve">{text}</w:t></w:r>'


def par(content: str, style: str = "", properties: str = "") -> str:
    """A paragraph of text or of runs."""
    inner = content if content.startswith("<") or not content else run(content)
    styled = (f'<w:pStyle w:val="{style}"/>' if style else "") + properties
    return f"<w:p>{f'<w:pPr>{styled}</w:pPr>' if styled else ''}{inner}</w:p>"


def numbered(text: str, number: int = 1, level: int = 0, style: str = "ListParagraph") -> str:
    """A list entry."""
    return par(text, style, f'<w:numPr><w:ilvl w:val="{level}"/><w:numId w:val="{number}"/></w:numPr>')


def cell(content: str, properties: str = "") -> str:
    """A table cell; text becomes a paragraph."""
    inner = content if content.startswith("<w:") else par(content)
    return f'<w:tc><w:tcPr><w:tcW w:w="2000" w:type="dxa"/>{properties}</w:tcPr>{inner}</w:tc>'


def row(*cells: str) -> str:
    """A table row of cells or texts."""
    return f"<w:tr>{''.join(one if one.startswith('<w:') else cell(one) for one in cells)}</w:tr>"


def grid(*rows: str, columns: int = 3) -> str:
    """A table."""
    widths = '<w:gridCol w:w="2000"/>' * columns
    style = '<w:tblPr><w:tblStyle w:val="TableGrid"/><w:tblW w:w="0" w:type="auto"/></w:tblPr>'
    return f"<w:tbl>{style}<w:tblGrid>{widths}</w:tblGrid>{''.join(rows)}</w:tbl>"


def style(name: str, shown: str, base: str = "Normal", properties: str = "") -> str:
    """A paragraph style with an id, a name and the style that it is based on."""
    based = f'<w:basedOn w:val="{base}"/>' if base else ""
    inner = f"<w:pPr>{properties}</w:pPr>" if properties else ""
    return f'<w:style w:type="paragraph" w:styleId="{name}"><w:name w:val="{shown}"/>{based}{inner}</w:style>'


_STYLES = "".join((
    '<w:style w:type="paragraph" w:default="1" w:styleId="Normal"><w:name w:val="Normal"/></w:style>',
    style("Title", "Title"),
    *(style(f"Heading{n}", f"heading {n}", properties=f'<w:outlineLvl w:val="{n - 1}"/>') for n in range(1, 5)),
    style("ListParagraph", "List Paragraph"),
    style("ListBullet", "List Bullet"),
    style("FootnoteText", "footnote text"),
    '<w:style w:type="table" w:styleId="TableGrid"><w:name w:val="Table Grid"/></w:style>',
))  # fmt: skip


def level(number: int, form: str = "decimal", text: str = "", start: int = 1, linked: str = "") -> str:
    """A level of a numbering: its form (decimal, lowerLetter, bullet), the text around numbers, the first number."""
    shown = text or ("•" if form == "bullet" else f"%{number + 1}.")
    link = f'<w:pStyle w:val="{linked}"/>' if linked else ""
    return (
        f'<w:lvl w:ilvl="{number}"><w:start w:val="{start}"/><w:numFmt w:val="{form}"/>{link}'
        f'<w:lvlText w:val="{shown}"/></w:lvl>'
    )


def numbering(*definitions: Sequence[str], overrides: str = "") -> str:
    """Numberings 1, 2 and so on from their levels; `overrides` are further `w:num` elements."""
    abstract = "".join(
        f'<w:abstractNum w:abstractNumId="{n}"><w:multiLevelType w:val="multilevel"/>{"".join(levels)}</w:abstractNum>'
        for n, levels in enumerate(definitions)
    )
    used = "".join(f'<w:num w:numId="{n + 1}"><w:abstractNumId w:val="{n}"/></w:num>' for n in range(len(definitions)))
    return abstract + used + overrides


def docx(
    *body: str,
    styles: str = "",
    numbers: str = "",
    footnotes: str = "",
    endnotes: str = "",
    header: str = "",
    footer: str = "",
    comments: str = "",
    title: str = "",
) -> bytes:
    """A Word document. The other parts are written only if they have content."""
    parts: dict[str, str] = {}
    types = {"word/document.xml": f"{_WORD}.document.main+xml", "word/styles.xml": f"{_WORD}.styles+xml"}
    linked = {"rId1": ("styles", "styles.xml"), "rId9": ("hyperlink", "https://example.org/")}
    section = ""
    for number, (name, root, content) in enumerate(
        (
            ("numbering", "numbering", numbers),
            ("footnotes", "footnotes", footnotes),
            ("endnotes", "endnotes", endnotes),
            ("header", "hdr", header),
            ("footer", "ftr", footer),
            ("comments", "comments", comments),
        ),
        start=2,
    ):
        if content:
            parts[f"word/{name}.xml"] = f"{XML}<w:{root} {SPACES}>{content}</w:{root}>"
            types[f"word/{name}.xml"] = f"{_WORD}.{name}+xml"
            linked[f"rId{number}"] = (name, f"{name}.xml")
            if name in {"header", "footer"}:
                section += f'<w:{name}Reference w:type="default" r:id="rId{number}"/>'
    package = {"rId1": ("officeDocument", "word/document.xml")}
    if title:
        core = "http://schemas.openxmlformats.org/package/2006/metadata/core-properties"
        parts["docProps/core.xml"] = (
            f'{XML}<cp:coreProperties xmlns:cp="{core}" xmlns:dc="http://purl.org/dc/elements/1.1/">'
            f"<dc:title>{title}</dc:title></cp:coreProperties>"
        )
        types["docProps/core.xml"] = "application/vnd.openxmlformats-package.core-properties+xml"
    sections = f"<w:sectPr>{section}</w:sectPr>"
    document = f"{XML}<w:document {SPACES}><w:body>{''.join(body)}{sections}</w:body></w:document>"
    return pack(
        {
            "[Content_Types].xml": content_types(types),
            "_rels/.rels": relations(package),
            "word/document.xml": document,
            "word/styles.xml": f"{XML}<w:styles {SPACES}>{_STYLES}{styles}</w:styles>",
            "word/_rels/document.xml.rels": relations(linked),
            **parts,
        }
    )
