"""DOCX: headings, lists and tables."""

from __future__ import annotations

from benchmarks.documents.building.docx_package import (
    BY,
    cell,
    grid,
    level,
    numbered,
    numbering,
    par,
    row,
    run,
    style,
)
from benchmarks.documents.case import table
from benchmarks.documents.cases.docx_text import docx_case

_DECIMAL = [level(0), level(1, "lowerLetter", "%2)"), level(2, "lowerRoman")]
_OUTLINE = [level(0, text="%1"), level(1, text="%1.%2"), level(2, text="%1.%2.%3")]
_LINKED = [level(0, text="%1", linked="Heading1"), level(1, text="%1.%2", linked="Heading2")]
_BULLETS = [level(0, "bullet"), level(1, "bullet", "o")]
_IN_LIST = '<w:numPr><w:ilvl w:val="{}"/><w:numId w:val="1"/></w:numPr>'

CASES = (
    docx_case(
        "headings",
        par("Fees", "Heading1")
        + par("About them.")
        + par("Abroad", "Heading2")
        + par("None.")
        + par("Asia", "Heading3"),
        "Fees\nAbout them.\nAbroad\nNone.\nAsia",
        headings=((1, "Fees"), (2, "Abroad"), (3, "Asia")),
    ),
    docx_case(
        "title and headings",
        par("Price list", "Title") + par("Cards", "Heading1") + par("From 12 euros."),
        "Price list\nCards\nFrom 12 euros.",
        headings=((1, "Price list"), (1, "Cards")),
    ),
    docx_case(
        "heading styles of a German Word",
        par("Gebühren", "berschrift1") + par("Karten", "berschrift2") + par("Ab 12 Euro."),
        "Gebühren\nKarten\nAb 12 Euro.",
        parts={"styles": style("berschrift1", "heading 1") + style("berschrift2", "heading 2")},
        headings=((1, "Gebühren"), (2, "Karten")),
    ),
    docx_case(
        "styles based on heading styles",
        par("Chapter One", "Chapter") + par("Text.") + par("Part A", "Part") + par("More text."),
        "Chapter One\nText.\nPart A\nMore text.",
        parts={"styles": style("Chapter", "House Chapter", "Heading1") + style("Part", "House Part", "Heading2")},
        headings=((1, "Chapter One"), (2, "Part A")),
    ),
    docx_case(
        "outline level in a style",
        par("Scope", "Clause") + par("All branches."),
        "Scope\nAll branches.",
        parts={"styles": style("Clause", "Clause", properties='<w:outlineLvl w:val="1"/>')},
        headings=((2, "Scope"),),
    ),
    docx_case(
        "outline level in a paragraph",
        par("Purpose", properties='<w:outlineLvl w:val="0"/>') + par("To inform."),
        "Purpose\nTo inform.",
        headings=((1, "Purpose"),),
    ),
    docx_case(
        "bullets",
        numbered("milk") + numbered("bread", level=1) + numbered("eggs"),
        "milk\nbread\neggs",
        parts={"numbers": numbering(_BULLETS)},
    ),
    docx_case(
        "numbered list",
        numbered("Open the app.") + numbered("Choose the card.") + numbered("Press block."),
        "1. Open the app.\n2. Choose the card.\n3. Press block.",
        parts={"numbers": numbering(_DECIMAL)},
        numbers=("1. Open the app", "2. Choose the card", "3. Press block"),
    ),
    docx_case(
        "numbered list with a start",
        numbered("Sign the form.") + numbered("Send it."),
        "7. Sign the form.\n8. Send it.",
        parts={"numbers": numbering([level(0, start=7)])},
        numbers=("7. Sign the form", "8. Send it"),
    ),
    docx_case(
        "numbered list around a paragraph",
        numbered("Call us.") + par("We answer day and night.") + numbered("Write to us."),
        "1. Call us.\nWe answer day and night.\n2. Write to us.",
        parts={"numbers": numbering(_DECIMAL)},
        numbers=("1. Call us", "2. Write to us"),
    ),
    docx_case(
        "letters below numbers",
        numbered("Documents") + numbered("passport", level=1) + numbered("proof", level=1) + numbered("Signature"),
        "1. Documents\na) passport\nb) proof\n2. Signature",
        parts={"numbers": numbering(_DECIMAL)},
        numbers=("1. Documents", "a) passport", "b) proof", "2. Signature"),
    ),
    docx_case(
        "multi-level numbers",
        numbered("Scope")
        + numbered("Persons", level=1)
        + numbered("Things", level=1)
        + numbered("Costs")
        + numbered("Taxes", level=1),
        "1 Scope\n1.1 Persons\n1.2 Things\n2 Costs\n2.1 Taxes",
        parts={"numbers": numbering(_OUTLINE)},
        numbers=("1 Scope", "1.1 Persons", "1.2 Things", "2 Costs", "2.1 Taxes"),
    ),
    docx_case(
        "numbered headings",
        par("Scope", "Heading1", _IN_LIST.format(0))
        + par("Text.")
        + par("Persons", "Heading2", _IN_LIST.format(1))
        + par("Costs", "Heading1", _IN_LIST.format(0))
        + par("See 1.1."),
        "1 Scope\nText.\n1.1 Persons\n2 Costs\nSee 1.1.",
        parts={"numbers": numbering(_LINKED)},
        numbers=("1 Scope", "1.1 Persons", "2 Costs"),
    ),
    docx_case(
        "list that starts again",
        numbered("First left.") + numbered("Second left.") + numbered("First right.", 2),
        "1. First left.\n2. Second left.\n1. First right.",
        parts={
            "numbers": numbering(
                _DECIMAL,
                overrides='<w:num w:numId="2"><w:abstractNumId w:val="0"/><w:lvlOverride w:ilvl="0">'
                '<w:startOverride w:val="1"/></w:lvlOverride></w:num>',
            )
        },
        numbers=("2. Second left", "1. First right"),
    ),
    docx_case(
        "numbering in a style",
        par("Sign here.", "Step") + par("Stamp there.", "Step"),
        "1. Sign here.\n2. Stamp there.",
        parts={
            "numbers": numbering(_DECIMAL),
            "styles": style("Step", "Step", properties='<w:numPr><w:numId w:val="1"/></w:numPr>'),
        },
        numbers=("1. Sign here", "2. Stamp there"),
    ),
    docx_case(
        "numbers with words around them",
        numbered("Definitions.") + numbered("Duties."),
        "Article 1: Definitions.\nArticle 2: Duties.",
        parts={"numbers": numbering([level(0, text="Article %1:")])},
        numbers=("1: Definitions", "2: Duties"),
    ),
    docx_case(
        "deleted list entry",
        numbered("Keep calm.")
        + f"<w:p><w:pPr>{_IN_LIST.format(0)}<w:rPr><w:del {BY}/></w:rPr></w:pPr><w:del {BY}><w:r><w:delText>Panic."
        "</w:delText></w:r></w:del></w:p>" + numbered("Carry on."),
        "1. Keep calm.\n2. Carry on.",
        parts={"numbers": numbering(_DECIMAL)},
        forbidden=("Panic",),
        numbers=("1. Keep calm", "2. Carry on"),
    ),
    docx_case(
        "table",
        grid(row("Service", "Price"), row("Card", "12 €"), row("PIN letter", "3 €"), columns=2),
        "Service Price\nCard 12 €\nPIN letter 3 €",
        rows=table("Service | Price", "Card | 12 €", "PIN letter | 3 €"),
    ),
    docx_case(
        "table with empty cells",
        grid(row("Plan", "Basic", "Plus"), row("Transfers", cell(""), "50"), row("Cards", "1", cell(""))),
        "Plan Basic Plus\nTransfers 50\nCards 1",
        rows=table("Plan | Basic | Plus", "Transfers | | 50", "Cards | 1 | "),
    ),
    docx_case(
        "cells merged across columns",
        grid(
            row("Day", "Morning", "Evening"),
            row("Monday", "9", "18"),
            row("Sunday", cell("closed", '<w:gridSpan w:val="2"/>')),
            row("Tuesday", "8", "17"),
        ),
        "Day Morning Evening\nMonday 9 18\nSunday closed\nTuesday 8 17",
        optional="closed",
        rows=table("Day | Morning | Evening", "Monday | 9 | 18", "Sunday | closed | closed", "Tuesday | 8 | 17"),
    ),
    docx_case(
        "cells merged across rows",
        grid(
            row("Country", "City", "Staff"),
            row(cell("Austria", '<w:vMerge w:val="restart"/>'), "Vienna", "31"),
            row(cell("", "<w:vMerge/>"), "Graz", "8"),
            row("Norway", "Oslo", "15"),
        ),
        "Country City Staff\nAustria Vienna 31\nGraz 8\nNorway Oslo 15",
        optional="Austria",
        rows=table("City | Country | Staff", "Vienna | Austria | 31", "Graz | Austria | 8", "Oslo | Norway | 15"),
    ),
    docx_case(
        "nested table",
        grid(
            row("Account", "Terms"),
            row("Gold", cell(par("Limits:") + grid(row("day", "500"), row("month", "9000"), columns=2) + par(""))),
            columns=2,
        ),
        "Account Terms\nGold Limits:\nday 500\nmonth 9000",
    ),
    docx_case(
        "table with content controls",
        grid(
            row("Field", "Value"),
            f"<w:sdt><w:sdtContent>{row('Name', 'Ann')}</w:sdtContent></w:sdt>",
            row("Age", f"<w:sdt><w:sdtContent>{cell('44')}</w:sdtContent></w:sdt>"),
            columns=2,
        ),
        "Field Value\nName Ann\nAge 44",
        rows=table("Field | Value", "Name | Ann", "Age | 44"),
    ),
    docx_case(
        "deleted table row",
        grid(
            row("Item", "Cost"),
            f"<w:tr><w:trPr><w:del {BY}/></w:trPr>"
            + cell(f"<w:p><w:del {BY}><w:r><w:delText>Stamp</w:delText></w:r></w:del></w:p>")
            + cell(f"<w:p><w:del {BY}><w:r><w:delText>71</w:delText></w:r></w:del></w:p>")
            + "</w:tr>",
            row("Letter", "2"),
            columns=2,
        ),
        "Item Cost\nLetter 2",
        forbidden=("Stamp", "71"),
        rows=table("Item | Cost", "Letter | 2"),
    ),
    docx_case(
        "lists and paragraphs in cells",
        grid(
            row("Account", "Includes"),
            row("Youth", cell(par("card") + par("app"))),
            row("Family", "4 cards"),
            columns=2,
        ),
        "Account Includes\nYouth card app\nFamily 4 cards",
        rows=table("Account | Includes", "Youth | card app", "Family | 4 cards"),
    ),
    docx_case(
        "row that starts later",
        grid(
            row("Quarter", "Spring", "Autumn"),
            '<w:tr><w:trPr><w:gridBefore w:val="1"/></w:trPr>' + cell("up") + cell("down") + "</w:tr>",
            row("Total", "410", "395"),
        ),
        "Quarter Spring Autumn\nup down\nTotal 410 395",
        rows=(*table("Quarter | Spring | Autumn", "Total | 410 | 395"), {"Spring": "up", "Autumn": "down"}),
    ),
    docx_case(
        "heading inside a content control",
        f"<w:sdt><w:sdtContent>{par('Contents', 'Heading1')}{par('One page.')}</w:sdtContent></w:sdt>"
        + par(run("Next") + run(" part"), "Heading2"),
        "Contents\nOne page.\nNext part",
        headings=((1, "Contents"), (2, "Next part")),
    ),
)
