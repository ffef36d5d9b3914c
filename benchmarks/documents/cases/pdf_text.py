"""PDF: the order of text on a page, its characters, and what is drawn around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.documents.building.pdf_file import PdfFile, glyphs, line, lines, literal
from benchmarks.documents.case import Case

_IMAGE = "q 300 0 0 300 150 250 cm BI /W 1 /H 1 /CS /G /BPC 8 ID \x80 EI Q"


def pdf_case(name: str, pages: Callable[[PdfFile], None], text: str, **expected: Any) -> Case:
    """A case from a function that adds pages."""

    def build() -> bytes:
        pdf = PdfFile()
        pages(pdf)
        return pdf.bytes()

    return Case(f"pdf/{name}", ".pdf", build, text, **expected)


def one_page(name: str, content: str, text: str, *, rotate: int = 0, **expected: Any) -> Case:
    """A case with one page of drawing operators."""
    return pdf_case(name, lambda pdf: pdf.page(content, rotate=rotate), text, **expected)


def _in_boxes(name: str, text: str, drawn: str, **expected: Any) -> Case:
    """A page in an embedded font; `drawn` has the lines in the order of their glyphs from left to right."""

    def pages(pdf: PdfFile) -> None:
        pdf.embed("F9", drawn)
        shown = drawn.split("\n")
        pdf.page(*(glyphs(72, 720 - 16 * n, one, drawn) for n, one in enumerate(shown)))

    return pdf_case(name, pages, text, **expected)


def _three_pages(pdf: PdfFile, middle: str) -> None:
    pdf.page(lines(72, 720, "The first page explains the fees of 15 euros."))
    pdf.page(middle)
    pdf.page(lines(72, 720, "The third page names the address, Main Street 12."))


_BODY = (
    "Cash withdrawals abroad cost 2.99 percent of the amount, but at",
    "least 3 euros. The bank adds nothing for payments by card. A new",
    "card costs 12 euros and arrives within 5 working days.",
)
_LEFT = ("The left column tells of loans.", "A loan runs for 60 months at", "a fixed rate of 6.4 percent.")
_RIGHT = ("The right column tells of cards.", "A card is valid for 4 years and", "renewed 30 days before.")
_MIXED = "\n".join(
    line(72, 700 - 14 * n, left) + "\n" + line(330, 700 - 14 * n, right)
    for n, (left, right) in enumerate(zip(_LEFT, _RIGHT, strict=True))
)


def _repeated(pdf: PdfFile) -> None:
    for number, text in enumerate(("Loans need a salary of 900 euros.", "Cards need an account."), start=1):
        pdf.page(
            line(72, 770, "Bank of Norland - Terms", 9),
            *(line(72, 700 - 14 * n, part) for n, part in enumerate((text, "Ask us for more. We are glad to help."))),
            line(290, 30, f"Page {number} of 2", 9),
        )


CASES = (
    one_page("paragraph", lines(72, 720, *_BODY), " ".join(_BODY)),
    one_page(
        "two columns, one after the other",
        lines(72, 700, *_LEFT) + "\n" + lines(330, 700, *_RIGHT),
        " ".join((*_LEFT, *_RIGHT)),
    ),
    one_page("two columns, drawn line by line", _MIXED, " ".join((*_LEFT, *_RIGHT))),
    one_page(
        "two columns below a heading",
        line(72, 740, "Products of the bank", 20, "F2") + "\n" + _MIXED,
        "Products of the bank " + " ".join((*_LEFT, *_RIGHT)),
        headings=((1, "Products of the bank"),),
    ),
    one_page(
        "drawn from bottom to top",
        "\n".join(
            [line(72, 660, "Third comes the end."), line(72, 690, "Second comes 44."), line(72, 720, "First comes 33.")]
        ),
        "First comes 33. Second comes 44. Third comes the end.",
    ),
    one_page(
        "gaps instead of spaces",
        f"BT /F1 11 Tf 72 700 Td [{literal('Cash')} -300 {literal('costs')} -300 {literal('2.99')} -300 "
        f"{literal('percent')} 60 {literal('age.')}] TJ ET",
        "Cash costs 2.99 percentage.",
        forbidden=("Cashcosts", "costs2"),
    ),
    one_page(
        "letters set one by one",
        "BT /F3 10 Tf 72 700 Td "
        + " 6 0 Td ".join(f"{literal(letter)} Tj" for letter in "Rate is 1.25 percent")
        + " ET",
        "Rate is 1.25 percent",
    ),
    one_page(
        "spaced heading",
        f"BT /F2 16 Tf 1.5 Tc 72 720 Td {literal('Conditions')} Tj ET " + lines(72, 690, "The term is 24 months."),
        "Conditions The term is 24 months.",
    ),
    one_page(
        "hyphens at line ends",
        lines(
            72,
            720,
            "The customer must immedi-",
            "ately report the loss of a card, other-",
            "wise the bank is not respon-",
            "sible for payments of more than 150 euros.",
        ),
        "The customer must immediately report the loss of a card, otherwise the bank is not responsible for payments "
        "of "
        "more than 150 euros.",
    ),
    one_page(
        "hyphens that belong to words",
        lines(
            72,
            720,
            "A well-known rule of the non-profit sector is a twenty-",
            "four hour limit, and the well-",
            "known exception is the sub-account with 10-",
            "year terms.",
        ),
        "A well-known rule of the non-profit sector is a twenty-four hour limit, and the well-known exception is the "
        "sub-account with 10-year terms.",
        forbidden=("twentyfour", "wellknown"),
    ),
    one_page(
        "raised numbers",
        f"BT /F1 11 Tf 72 700 Td {literal('The field has 30')} Tj /F1 7 Tf 5 Ts {literal('2')} Tj /F1 11 Tf 0 Ts "
        f"{literal(' metres and 10')} Tj /F1 7 Tf 5 Ts {literal('6')} Tj /F1 11 Tf 0 Ts {literal(' visitors.')} Tj ET",
        "The field has 30 ² metres and 10 ⁶ visitors.",
        forbidden=("302", "106"),
    ),
    one_page(
        "marks of footnotes",
        f"BT /F1 11 Tf 72 700 Td {literal('The fee is 15')} Tj /F1 7 Tf 5 Ts {literal('1')} Tj /F1 11 Tf 0 Ts "
        f"{literal(' euros a year.')} Tj ET "
        + line(72, 686, "It is due in May.")
        + line(72, 60, "1 New customers only.", 8),
        "The fee is 15 euros a year. It is due in May. New customers only.",
        optional="1",
        forbidden=("151",),
    ),
    one_page(
        "lowered numbers",
        f"BT /F1 11 Tf 72 700 Td {literal('Water is H')} Tj /F1 7 Tf -3 Ts {literal('2')} Tj /F1 11 Tf 0 Ts "
        f"{literal('O, and x')} Tj /F1 7 Tf -3 Ts {literal('1')} Tj /F1 11 Tf 0 Ts {literal(' is 7.')} Tj ET",
        "Water is H₂O, and x₁ is 7.",
    ),
    pdf_case(
        "picture page among others",
        lambda pdf: _three_pages(pdf, _IMAGE),
        "The first page explains the fees of 15 euros. The third page names the address, Main Street 12.",
    ),
    pdf_case(
        "empty page among others",
        lambda pdf: _three_pages(pdf, ""),
        "The first page explains the fees of 15 euros. The third page names the address, Main Street 12.",
    ),
    pdf_case(
        "headers and footers",
        _repeated,
        "Loans need a salary of 900 euros. Ask us for more. We are glad to help. Cards need an account. Ask us for "
        "more. We are glad to help.",
        optional="Bank of Norland Terms Page 1 of 2",
    ),
    one_page(
        "page turned by 90 degrees",
        "q 0 1 -1 0 612 0 cm " + lines(100, 500, *_BODY) + " Q",
        " ".join(_BODY),
        rotate=90,
    ),
    one_page(
        "text turned in the margin",
        lines(100, 700, *_BODY) + f" BT /F1 9 Tf 0 1 -1 0 40 300 Tm {literal('Form 77 edition May')} Tj ET",
        " ".join(_BODY),
        optional="Form 77 edition May",
    ),
    one_page(
        "text outside the page",
        lines(72, 700, "The price is 10 euros.") + line(72, -60, "Old price 999") + line(900, 500, "Cut off"),
        "The price is 10 euros.",
        forbidden=("999", "Cut off"),
    ),
    one_page(
        "text layer of a scan",
        _IMAGE + " 3 Tr " + lines(72, 700, "Scanned letter of 3 May.", "The claim is 480 euros."),
        "Scanned letter of 3 May. The claim is 480 euros.",
    ),
    one_page(
        "text drawn twice for weight",
        line(72, 700, "Bold total 85") + line(72.3, 700, "Bold total 85") + line(72, 670, "Thin line."),
        "Bold total 85 Thin line.",
    ),
    _in_boxes(
        "Chinese in an embedded font",
        "银行卡费用：境外取现收取三元手续费。补办新卡需要七个工作日。",
        "银行卡费用：境外取现收取三元\n手续费。补办新卡需要七个工作日。",
    ),
    _in_boxes(
        "Hebrew in the order of its glyphs",
        "העמלה היא 14 שקל בחודש. הכרטיס תקף",
        "ףקת סיטרכה .שדוחב לקש 14 איה הלמעה",
    ),
    _in_boxes(
        "ligatures of the font",
        "The office of finance fulfils five offers in the first flat.",
        "The oﬃce of ﬁnance fulﬁls ﬁve oﬀers in the ﬁrst ﬂat.",
    ),
    one_page(
        "currency and quotation marks",
        lines(72, 700, "The “gold” card – 40 € or £35 – isn’t “free”…"),
        "The “gold” card – 40 € or £35 – isn’t “free”…",
    ),
)
