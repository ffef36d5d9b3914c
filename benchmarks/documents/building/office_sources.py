"""The documents that LibreOffice writes in several formats, as flat ODF."""

from __future__ import annotations

_ODF = "urn:oasis:names:tc:opendocument:xmlns"
_NAMES = (
    ("office", "office"), ("text", "text"), ("table", "table"), ("style", "style"), ("draw", "drawing"),
    ("fo", "xsl-fo-compatible"), ("svg", "svg-compatible"), ("presentation", "presentation"), ("number", "datastyle"),
)  # fmt: skip
_SPACES = " ".join(f'xmlns:{short}="{_ODF}:{name}:1.0"' for short, name in _NAMES)
_STYLES = """
<style:style style:name="Standard" style:family="paragraph"><style:text-properties style:font-name="DejaVu Sans"
 fo:font-size="11pt" style:font-name-asian="WenQuanYi Micro Hei" style:font-name-complex="DejaVu Sans"/></style:style>
<style:style style:name="Heading" style:family="paragraph" style:parent-style-name="Standard"/>
<style:style style:name="Heading_20_1" style:display-name="Heading 1" style:family="paragraph"
 style:parent-style-name="Heading" style:default-outline-level="1"><style:text-properties fo:font-size="20pt"/>
</style:style>
<style:style style:name="Heading_20_2" style:display-name="Heading 2" style:family="paragraph"
 style:parent-style-name="Heading" style:default-outline-level="2"><style:text-properties fo:font-size="15pt"/>
</style:style>"""
_AUTOMATIC = """
<style:style style:name="Up" style:family="text"><style:text-properties style:text-position="super 58%"/></style:style>
<style:style style:name="Down" style:family="text"><style:text-properties style:text-position="sub 58%"/></style:style>
<style:style style:name="Gone" style:family="text"><style:text-properties text:display="none"/></style:style>
<style:style style:name="Bold" style:family="text"><style:text-properties fo:font-weight="bold"/></style:style>
<style:style style:name="Box" style:family="table-cell"><style:table-cell-properties fo:padding="0.1cm"
 fo:border="0.5pt solid #000000"/></style:style>
<style:style style:name="Rtl" style:family="paragraph" style:parent-style-name="Standard"><style:paragraph-properties
 style:writing-mode="rl-tb" fo:text-align="start"/></style:style>
<style:style style:name="Two" style:family="section"><style:section-properties><style:columns fo:column-count="2"
 fo:column-gap="1cm"/></style:section-properties></style:style>
<style:style style:name="Frame" style:family="graphic"><style:graphic-properties fo:border="0.5pt solid #000000"
 style:wrap="parallel"/></style:style>
<text:list-style style:name="L1"><text:list-level-style-number text:level="1" style:num-suffix="." style:num-format="1">
<style:list-level-properties text:list-level-position-and-space-mode="label-alignment"><style:list-level-label-alignment
 text:label-followed-by="listtab" fo:margin-left="1cm" fo:text-indent="-0.6cm"/></style:list-level-properties>
</text:list-level-style-number></text:list-style>
<text:list-style style:name="L2"><text:list-level-style-bullet text:level="1" text:bullet-char="•">
<style:list-level-properties text:list-level-position-and-space-mode="label-alignment"><style:list-level-label-alignment
 text:label-followed-by="listtab" fo:margin-left="1cm" fo:text-indent="-0.6cm"/></style:list-level-properties>
</text:list-level-style-bullet></text:list-style>
<number:date-style style:name="N1"><number:year number:style="long"/><number:text>-</number:text>
<number:month number:style="long"/><number:text>-</number:text><number:day number:style="long"/></number:date-style>
<number:percentage-style style:name="N2"><number:number number:decimal-places="1" number:min-integer-digits="1"/>
<number:text>%</number:text></number:percentage-style>
<style:style style:name="Day" style:family="table-cell" style:data-style-name="N1"/>
<style:style style:name="Share" style:family="table-cell" style:data-style-name="N2"/>"""


def _flat(kind: str, body: str, styles: str = "") -> str:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><office:document {_SPACES} office:version="1.3" '
        f'office:mimetype="application/vnd.oasis.opendocument.{kind}"><office:styles>{_STYLES}{styles}</office:styles>'
        f"<office:automatic-styles>{_AUTOMATIC}</office:automatic-styles><office:body>"
        f"<office:{kind}>{body}</office:{kind}></office:body></office:document>"
    )


def _p(text: str, style: str = "Standard") -> str:
    return f'<text:p text:style-name="{style}">{text}</text:p>'


def _h(level: int, text: str) -> str:
    return f'<text:h text:style-name="Heading_20_{level}" text:outline-level="{level}">{text}</text:h>'


def _list(style: str, *entries: str, start: int = 1) -> str:
    first = f'<text:list-item text:start-value="{start}">'
    items = "".join(
        f"{'<text:list-item>' if number else first}{_p(one)}</text:list-item>" for number, one in enumerate(entries)
    )
    return f'<text:list text:style-name="{style}">{items}</text:list>'


def _cell(text: str, attributes: str = "") -> str:
    inner = _p(text) if text else _p("")
    return (
        f'<table:table-cell table:style-name="Box" office:value-type="string" {attributes}>{inner}</table:table-cell>'
    )


def _row(*cells: str) -> str:
    return f"<table:table-row>{''.join(one if one.startswith('<') else _cell(one) for one in cells)}</table:table-row>"


def _table(*rows: str, columns: int = 3) -> str:
    return (
        f'<table:table table:name="T"><table:table-column table:number-columns-repeated="{columns}"/>{"".join(rows)}'
        "</table:table>"
    )


def _number(value: float, shown: str, style: str = "", kind: str = "float") -> str:
    styled = f'table:style-name="{style}" ' if style else ""
    return f'<table:table-cell {styled}office:value-type="{kind}" office:value="{value}">{_p(shown)}</table:table-cell>'


_PAGE = 'draw:style-name="dp" draw:master-page-name="Default"'
_STRUCTURE = (
    _h(1, "Card fees")
    + _p("All fees of this list include taxes, and they are taken from the account at the end of a month.")
    + _h(2, "Lost cards")
    + _list("L1", "Call us at once, by day or by night.", "Sign the form.", start=4)
    + _p("You need:")
    + _list("L2", "a passport", "the account number")
    + _h(2, "Branches")
    + _table(
        _row("Country", "City", "Staff"),
        _row(_cell("Austria", 'table:number-rows-spanned="2"'), "Vienna", "31"),
        _row("<table:covered-table-cell/>", "Graz", ""),
        _row("Norway", "Oslo", "15"),
    )
    + _p("The list was made in May.")
)
_CHANGES = (
    '<text:tracked-changes><text:changed-region xml:id="c1" text:id="c1"><text:deletion><office:change-info>'
    '<dc:creator xmlns:dc="http://purl.org/dc/elements/1.1/">A</dc:creator>'
    '<dc:date xmlns:dc="http://purl.org/dc/elements/1.1/">2024-01-01T00:00:00</dc:date></office:change-info>'
    f"{_p('88 ')}</text:deletion></text:changed-region></text:tracked-changes>"
    + _p('The limit is <text:change text:change-id="c1"/>77 euros.')
)
_MARKS = (
    _p(
        'The field has 30<text:span text:style-name="Up">2</text:span> metres of H<text:span text:style-name="Down">2'
        "</text:span>O."
    )
    + _p('The price is <text:span text:style-name="Gone">999 </text:span>10 euros.')
    + _p(
        'The fee is 15<text:note text:note-class="footnote"><text:note-citation>1</text:note-citation><text:note-body>'
        + _p("New customers only.")
        + "</text:note-body></text:note> euros a year."
    )
    + _p('It is un<text:span text:style-name="Bold">believ</text:span>ably cheap.')
)
_COLUMNS = (
    _h(1, "Products")
    + '<text:section text:style-name="Two" text:name="S">'
    + _p("The left column tells of loans. A loan runs for 60 months at a fixed rate of 6.4 percent. It needs a salary.")
    + _p("The right column tells of cards. A card is valid for 4 years and renewed 30 days before the end of its term.")
    + "</text:section>"
    + _p("Below both columns stands the last line of this page, which counts 14 words.")
)
_SCRIPTS = (
    _p("عمولة السحب في الخارج هي 25 درهما.", "Rtl")
    + _p("العملة هي اليورو، والبطاقة صالحة 4 سنوات.", "Rtl")
    + _p("העמלה היא 14 שקל בחודש, והכרטיס תקף.", "Rtl")
)
_CHINESE = _p("境外取现收取百分之三的手续费，最低五元。") + _p("补办新卡需要七个工作日。")
_FRAME = (
    _p("Text beside a frame.")
    + _p(
        "The text goes on."
        '<draw:frame draw:style-name="Frame" draw:name="F1" text:anchor-type="paragraph" svg:width="5cm">'
        f'<draw:text-box fo:min-height="1cm">{_p("Note: open 24 hours.")}</draw:text-box></draw:frame>'
    )
    + _p("Text below.")
)
_SHEETS = (
    '<table:table table:name="Branches">'
    + _row("City", "Since", "Share", "Staff")
    + "<table:table-row>"
    + _cell("Vienna")
    + '<table:table-cell table:style-name="Day" office:value-type="date" office:date-value="2019-03-05">'
    + _p("2019-03-05")
    + "</table:table-cell>"
    + _number(0.625, "62.5%", "Share", "percentage")
    + _number(31, "31")
    + "</table:table-row><table:table-row>"
    + _cell("Graz")
    + "<table:table-cell/>"
    + _number(0.375, "37.5%", "Share", "percentage")
    + _number(8, "8")
    + "</table:table-row></table:table>"
    + '<table:table table:name="Fees">'
    + _row("Card", "Fee")
    + "<table:table-row>"
    + _cell("Gold")
    + _number(40, "40")
    + "</table:table-row></table:table>"
)


def _box(text: str, y: int) -> str:
    return (
        f'<draw:frame svg:x="2cm" svg:y="{y}cm" svg:width="20cm" svg:height="3cm"><draw:text-box>{text}</draw:text-box>'
        "</draw:frame>"
    )


_SLIDES = (
    f'<draw:page draw:name="p1">{_box(_p("Our fees"), 2)}'
    f"{_box(_p('Cards cost 12 euros') + _p('Loans cost 6.4 percent'), 6)}"
    "</draw:page>"
    f'<draw:page draw:name="p2">{_box(_p("Contact"), 2)}{_box(_list("L1", "Call 555 01 99", "Write"), 6)}</draw:page>'
)

# Name, source, its suffix, and the formats to write.
SOURCES = (
    ("structure", _flat("text", _STRUCTURE), ".fodt", (".docx", ".odt", ".pdf", ".html")),
    ("marks", _flat("text", _MARKS), ".fodt", (".docx", ".odt", ".pdf")),
    ("changes", _flat("text", _CHANGES), ".fodt", (".docx", ".odt")),
    ("columns", _flat("text", _COLUMNS), ".fodt", (".docx", ".pdf")),
    ("scripts", _flat("text", _SCRIPTS), ".fodt", (".docx", ".odt", ".pdf")),
    ("chinese", _flat("text", _CHINESE), ".fodt", (".docx", ".pdf")),
    ("frame", _flat("text", _FRAME), ".fodt", (".docx", ".odt")),
    ("branches", _flat("spreadsheet", _SHEETS), ".fods", (".xlsx", ".pdf")),
    ("slides", _flat("presentation", _SLIDES), ".fodp", (".pdf",)),
)
