"""Spreadsheets (XLSX) and presentations (PPTX)."""

from __future__ import annotations

from typing import Any

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
from benchmarks.documents.case import Case, table


def _sheet(name: str, build: dict[str, str], text: str, *, optional: str = "", **expected: Any) -> Case:
    """`parts` in `expected` are arguments of `xlsx`. The names of sheets may be read or not."""
    parts = expected.pop("parts", {})
    shown = f"{' '.join(build)} {optional}"
    return Case(f"xlsx/{name}", ".xlsx", lambda: xlsx(build, **parts), text, optional=shown, **expected)


def _slides(name: str, slides: list[str], text: str, *, optional: str = "", **expected: Any) -> Case:
    """`parts` in `expected` are arguments of `pptx`. The numbers of slides may be read or not."""
    parts = expected.pop("parts", {})
    shown = f"Slide slide number Notes {' '.join(map(str, range(1, len(slides) + 1)))} {optional}"
    return Case(f"pptx/{name}", ".pptx", lambda: pptx(slides, **parts), text, optional=shown, **expected)


_PHONETIC = '<r><t xml:space="preserve">東京 </t></r><r><t>number</t></r><rPh sb="0" eb="2"><t>トウキョウ</t></rPh>'
_FORMATTED = '<r><t>ru</t></r><r><rPr><b/></rPr><t xml:space="preserve">n of </t></r><r><t>text</t></r>'
_FORMULA = "<c><f>{}</f><v>{}</v></c>"

_XLSX = (
    _sheet(
        "table",
        {"Prices": numbers_sheet([["Service", "Price"], ["Card", 12], ["PIN letter", 3.5]])},
        "Service Price\nCard 12\nPIN letter 3.5",
        rows=table("Service | Price", "Card | 12", "PIN letter | 3.5"),
    ),
    _sheet(
        "texts inside the cells",
        {"Prices": numbers_sheet([["Service", "Price"], ["Card", 12], ["PIN letter", 3.5]])},
        "Service Price\nCard 12\nPIN letter 3.5",
        parts={"inline": True},
        rows=table("Service | Price", "Card | 12", "PIN letter | 3.5"),
    ),
    _sheet(
        "two sheets",
        {
            "Cards": numbers_sheet([["Card", "Fee"], ["Gold", 40]]),
            "Loans": numbers_sheet([["Loan", "Months"], ["Car", 60]]),
        },
        "Card Fee\nGold 40\nLoan Months\nCar 60",
        rows=table("Card | Fee", "Gold | 40") + table("Loan | Months", "Car | 60"),
    ),
    _sheet(
        "dates, shares and amounts",
        {
            "Data": numbers_sheet(
                [
                    ["Item", "Date", "Share", "Amount", "Time"],
                    ["Rent", (45429, "date"), (0.125, "percent"), (1234.5, "euro"), (0.75, "time")],
                ]
            )
        },
        "Item Date Share Amount Time\nRent 2024-05-17 12.5% 1,234.50 € 18:00",
        rows=table("Item | Date | Share | Amount | Time", "Rent | 2024-05-17 | 12.5% | 1,234.50 € | 18:00"),
        forbidden=("45429", "0.125", "0.75"),
    ),
    _sheet(
        "dates since 1904",
        {"Data": numbers_sheet([["Event", "Date"], ["Start", (43967, "date")]])},
        "Event Date\nStart 2024-05-17",
        parts={"since_1904": True},
        rows=table("Event | Date", "Start | 2024-05-17"),
        forbidden=("43967", "2020"),
    ),
    _sheet(
        "formulas",
        {"Sum": numbers_sheet([["Part", "Cost"], ["A", 20], ["B", 22], ["Total", _FORMULA.format("SUM(B2:B3)", 42)]])},
        "Part Cost\nA 20\nB 22\nTotal 42",
        forbidden=("SUM", "B2"),
        rows=table("Part | Cost", "Total | 42"),
    ),
    _sheet(
        "merged cells",
        {
            "Staff": numbers_sheet(
                [["Country", "City", "Staff"], ["Austria", "Vienna", 31], [None, "Graz", 8], ["Norway", "Oslo", 15]],
                extra='<mergeCells count="1"><mergeCell ref="A2:A3"/></mergeCells>',
            )
        },
        "Country City Staff\nAustria Vienna 31\nGraz 8\nNorway Oslo 15",
        optional="Austria",
        rows=table("City | Country | Staff", "Vienna | Austria | 31", "Graz | Austria | 8", "Oslo | Norway | 15"),
    ),
    _sheet(
        "hidden sheet and row",
        {
            "Open": numbers_sheet([["Name", "Rate"], ["Old", 88], ["New", 11]], hidden=(2,)),
            "Drafts": numbers_sheet([["Secret", 77]]),
        },
        "Name Rate\nNew 11",
        parts={"hidden": ("Drafts",)},
        forbidden=("88", "Secret", "77", "Drafts"),
        rows=table("Name | Rate", "New | 11"),
    ),
    _sheet(
        "results of calculations",
        {"Data": numbers_sheet([["Sum", "Count", "Large"], [0.1 + 0.2, 3.0, 12345678901]])},
        "Sum Count Large\n0.3 3 12345678901",
        forbidden=("0.30000000000000004", "3.0"),
        rows=table("Sum | Count | Large", "0.3 | 3 | 12345678901"),
    ),
    _sheet(
        "empty cells",
        {"Plans": numbers_sheet([["Plan", "Basic", "Plus"], ["Transfers", None, 50], ["Cards", 1, None]])},
        "Plan Basic Plus\nTransfers 50\nCards 1",
        forbidden=("NaN", "nan", "None"),
        rows=table("Plan | Basic | Plus", "Transfers | | 50", "Cards | 1 | "),
    ),
    _sheet(
        "table that starts further in",
        {"Data": numbers_sheet([["Branch", "Staff"], ["Oslo", 15]], first="C5")},
        "Branch Staff\nOslo 15",
        forbidden=("Unnamed", "NaN"),
        rows=table("Branch | Staff", "Oslo | 15"),
    ),
    _sheet(
        "formatted and phonetic text",
        {"Text": numbers_sheet([["Name", _PHONETIC], [_FORMATTED, "007"]])},
        "Name 東京 number\nrun of text 007",
        forbidden=("トウ",),
        rows=table("Name | 東京 number", "run of text | 007"),
    ),
    _sheet(
        "truth values, errors and line breaks",
        {
            "Data": numbers_sheet(
                [["Open", "Ratio", "Address"], [True, '<c t="e"><v>#DIV/0!</v></c>', "Main Street 12\nVienna"]]
            )
        },
        "Open Ratio Address\nTRUE #DIV/0! Main Street 12 Vienna",
        optional="True",
        rows=({"Address": "Main Street 12 Vienna", "Ratio": "#DIV/0!"},),
    ),
)

_PPTX = (
    _slides(
        "title and bullets",
        [
            shape("Our fees", kind="title")
            + shape("Cards cost 12 euros", slide_par("in all branches", 'lvl="1"'), kind="body", number=3)
        ],
        "Our fees\nCards cost 12 euros\nin all branches",
        headings=((1, "Our fees"),),
    ),
    _slides(
        "order of slides",
        [shape("Comes last", kind="title"), shape("Comes first", kind="title"), shape("Comes between", kind="title")],
        "Comes first\nComes between\nComes last",
        parts={"order": (2, 3, 1)},
    ),
    _slides(
        "table",
        [shape("Prices", kind="title") + slide_table(["Service", "Price"], ["Card", "12 €"], ["PIN letter", "3 €"])],
        "Prices\nService Price\nCard 12 €\nPIN letter 3 €",
        rows=table("Service | Price", "Card | 12 €", "PIN letter | 3 €"),
    ),
    _slides(
        "groups and text boxes",
        [shape("Map", kind="title") + group(shape("North 410", number=5), group(shape("South 120", number=6)))],
        "Map\nNorth 410\nSouth 120",
    ),
    _slides(
        "speaker's notes",
        [shape("Plan for 2025", kind="title")],
        "Plan for 2025",
        parts={"notes": "Mention the 14 new branches"},
        optional="Mention the 14 new branches",
    ),
    _slides(
        "hidden slide",
        [shape("Shown 21", kind="title"), shape("Not shown 66", kind="title"), shape("Shown 22", kind="title")],
        "Shown 21\nShown 22",
        parts={"hidden": (2,)},
        forbidden=("Not shown", "66"),
    ),
    _slides(
        "numbered list",
        [
            shape("Steps", kind="title")
            + shape(
                *(
                    slide_par(text, '<a:pPr><a:buAutoNum type="arabicPeriod" startAt="3"/></a:pPr>')
                    for text in ("Sign", "Send")
                ),
                number=3,
            )
        ],
        "Steps\n3. Sign\n4. Send",
        numbers=("3. Sign", "4. Send"),
    ),
    _slides(
        "raised numbers and line breaks",
        [
            shape(
                slide_par(words_run("The field has 30") + words_run("2", 'baseline="30000"') + words_run(" metres")),
                slide_par(words_run("Main Street 12") + "<a:br/>" + words_run("1010 Vienna")),
            )
        ],
        "The field has 30 ² metres\nMain Street 12\n1010 Vienna",
        forbidden=("302", "121010"),
    ),
    _slides(
        "fields",
        [
            shape("End", kind="title")
            + shape(slide_par('<a:fld id="{1}" type="slidenum"><a:rPr/><a:t>1</a:t></a:fld>'), kind="sldNum", number=4)
            + shape(
                slide_par(
                    words_run("As of ") + '<a:fld id="{2}" type="datetime"><a:rPr/><a:t>5 May 2023</a:t></a:fld>'
                ),
                number=5,
            )
        ],
        "End\nAs of 5 May 2023",
    ),
)

CASES = _XLSX + _PPTX
