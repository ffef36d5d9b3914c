"""ODT documents and EPUB books."""

from __future__ import annotations

from typing import Any

from benchmarks.documents.building.open_document import epub, odt
from benchmarks.documents.case import Case, table


def _odt(name: str, body: str, text: str, *, styles: str = "", lists: str = "", **expected: Any) -> Case:
    return Case(f"odt/{name}", ".odt", lambda: odt(body, styles, lists), text, **expected)


def _epub(name: str, pages: dict[str, str], spine: str, text: str, *, folder: str = "OEBPS/", **expected: Any) -> Case:
    """What the book says of itself may be read or not."""
    shown = f"A book Title Identifier Language en x {expected.pop('optional', '')}"
    return Case(f"epub/{name}", ".epub", lambda: epub(pages, spine, folder=folder), text, optional=shown, **expected)


def _cell(text: str, attributes: str = "") -> str:
    return f"<table:table-cell {attributes}><text:p>{text}</text:p></table:table-cell>"


def _row(*cells: str) -> str:
    return f"<table:table-row>{''.join(one if one.startswith('<') else _cell(one) for one in cells)}</table:table-row>"


def _list(*entries: str, style: str = "L1", start: int = 0) -> str:
    first = f' text:start-value="{start}"' if start else ""
    items = "".join(
        f"<text:list-item{first if number == 0 else ''}><text:p>{entry}</text:p></text:list-item>"
        for number, entry in enumerate(entries)
    )
    return f'<text:list text:style-name="{style}">{items}</text:list>'


_NUMBERS = (
    '<text:list-style style:name="L1"><text:list-level-style-number text:level="1" style:num-suffix="." '
    'style:num-format="1"/></text:list-style>'
)
_RAISED = (
    '<style:style style:name="T1" style:family="text"><style:text-properties style:text-position="super 58%"/>'
    "</style:style>"
)
_HIDDEN = '<style:style style:name="T2" style:family="text"><style:text-properties text:display="none"/></style:style>'
_CHANGE = (
    "<text:tracked-changes><text:changed-region "
    'text:id="c1"><text:deletion><office:change-info><dc:creator>A</dc:creator>'
    "<dc:date>2024-01-01T00:00:00</dc:date></office:change-info><text:p>88 "
    "</text:p></text:deletion></text:changed-region>"
    "</text:tracked-changes>"
)
_NAV = '<nav epub:type="toc"><ol><li><a href="one.xhtml">Chapter link</a></li></ol></nav>'

CASES = (
    _odt(
        "headings and paragraphs",
        '<text:h text:outline-level="1">Fees</text:h><text:p>Cash costs <text:span>2.99</text:span> percent.</text:p>'
        '<text:h text:outline-level="2">Abroad</text:h><text:p>A<text:s '
        'text:c="3"/>B<text:tab/>C<text:line-break/>D</text:p>',
        "Fees\nCash costs 2.99 percent.\nAbroad\nA B C\nD",
        headings=((1, "Fees"), (2, "Abroad")),
        forbidden=("AB", "BC", "CD"),
    ),
    _odt(
        "numbered list with a start",
        _list("Sign", "Send", start=4),
        "4. Sign\n5. Send",
        lists=_NUMBERS,
        numbers=("4. Sign", "5. Send"),
    ),
    _odt(
        "numbered list",
        _list("Open the app", "Press block"),
        "1. Open the app\n2. Press block",
        lists=_NUMBERS,
        numbers=("1. Open the app", "2. Press block"),
    ),
    _odt(
        "table with merged and repeated cells",
        '<table:table table:name="T"><table:table-column table:number-columns-repeated="3"/><table:table-header-rows>'
        + _row("Country", "City", "Staff")
        + "</table:table-header-rows>"
        + _row(_cell("Austria", 'table:number-rows-spanned="2"'), "Vienna", "31")
        + _row("<table:covered-table-cell/>", "Graz", "8")
        + _row("Norway", '<table:table-cell table:number-columns-repeated="2"><text:p>15</text:p></table:table-cell>')
        + "</table:table>",
        "Country City Staff\nAustria Vienna 31\nGraz 8\nNorway 15 15",
        optional="Austria",
        rows=table("City | Country | Staff", "Vienna | Austria | 31", "Graz | Austria | 8", "15 | Norway | 15"),
    ),
    _odt(
        "tracked deletion",
        _CHANGE + '<text:p>The fee is <text:change text:change-id="c1"/>77 euros.</text:p>',
        "The fee is 77 euros.",
        forbidden=("88",),
    ),
    _odt(
        "footnote and comment",
        '<text:p>The fee is 15<text:note text:id="f1" '
        'text:note-class="footnote"><text:note-citation>1</text:note-citation>'
        "<text:note-body><text:p>New customers only.</text:p></text:note-body></text:note> euros<office:annotation>"
        "<dc:creator>A</dc:creator><text:p>Check this</text:p></office:annotation> a "
        "year.</text:p><text:p>Next.</text:p>",
        "The fee is 15 euros a year. Next. New customers only.",
        optional="1 Check this A",
        forbidden=("151",),
    ),
    _odt(
        "raised and hidden text",
        '<text:p>The field has 30<text:span text:style-name="T1">2</text:span> metres.</text:p>'
        '<text:p>The price is <text:span text:style-name="T2">999 </text:span>10.</text:p>',
        "The field has 30 ² metres.\nThe price is 10.",
        styles=_RAISED + _HIDDEN,
        forbidden=("302", "999"),
    ),
    _odt(
        "text frame and link",
        '<text:p>Beside <text:a xlink:href="https://example.org/">our terms</text:a><draw:frame '
        'draw:name="F"><draw:text-box>'
        "<text:p>Note: 24 hours.</text:p></draw:text-box></draw:frame></text:p><text:p>Below.</text:p>",
        "Beside our terms Note: 24 hours.\nBelow.",
        optional="https example org",
    ),
    _epub(
        "order of chapters",
        {"b.xhtml": "<h1>Second</h1><p>It has 22 pages.</p>", "a.xhtml": "<h1>First</h1><p>It has 11 pages.</p>"},
        "a.xhtml, b.xhtml",
        "First\nIt has 11 pages.\nSecond\nIt has 22 pages.",
        headings=((1, "First"), (1, "Second")),
    ),
    _epub(
        "table of contents outside the order",
        {"nav.xhtml": _NAV, "one.xhtml": "<h2>One</h2><p>The text of 7 words is here.</p>"},
        "one.xhtml",
        "One\nThe text of 7 words is here.",
        forbidden=("Chapter link",),
        headings=((2, "One"),),
    ),
    _epub(
        "names with spaces, no folder",
        {"chapter one.xhtml": "<p>Rates fell to 3 percent.</p>"},
        "chapter one.xhtml",
        "Rates fell to 3 percent.",
        folder="",
    ),
    _epub(
        "table and raised numbers",
        {
            "one.xhtml": "<table><tr><th>Card</th><th>Fee</th></tr><tr><td>Gold</td><td>40</td></tr></table>"
            "<p>30<sup>2</sup> m</p>"
        },
        "one.xhtml",
        "Card Fee\nGold 40\n30 ² m",
        rows=table("Card | Fee", "Gold | 40"),
        forbidden=("302",),
    ),
    _epub(
        "notes off the main line",
        {"one.xhtml": "<p>The main text.</p>", "notes.xhtml": "<p>A note of 1890.</p>"},
        "one.xhtml, -notes.xhtml",
        "The main text.",
        optional="A note of 1890",
    ),
)
