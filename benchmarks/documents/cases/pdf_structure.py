"""PDF: headings, lists, tables and forms."""

from __future__ import annotations

from benchmarks.documents.building.pdf_file import PdfFile, cells, line, lines
from benchmarks.documents.building.pdf_form import checkbox, choice_field, text_field
from benchmarks.documents.case import Case, table
from benchmarks.documents.cases.pdf_text import one_page, pdf_case

_PRICES = (("Service", "Price", "Days"), ("Card", "12 EUR", "5"), ("PIN letter", "3 EUR", "2"), ("Safe", "90 EUR", "1"))
_EMPTY = (("Plan", "Basic", "Plus"), ("Transfers", "", "50"), ("Cards", "1", ""), ("Loans", "", "7"))
_WIDTHS = (150, 120, 100)
_PRICE_TEXT = "Service Price Days Card 12 EUR 5 PIN letter 3 EUR 2 Safe 90 EUR 1"
_PRICE_ROWS = table("Service | Price | Days", "Card | 12 EUR | 5", "PIN letter | 3 EUR | 2", "Safe | 90 EUR | 1")
_EMPTY_TEXT = "Plan Basic Plus Transfers 50 Cards 1 Loans 7"
_EMPTY_ROWS = table("Plan | Basic | Plus", "Transfers | | 50", "Cards | 1 | ", "Loans | | 7")


def _form(pdf: PdfFile) -> None:
    fields = [
        text_field(pdf, "name", "Ann Berg", (150, 696)),
        choice_field(pdf, "country", ("Austria", "Norway", "Spain"), "Norway", (150, 666)),
        checkbox(pdf, "terms", (72, 638), checked=True),
    ]
    pdf.page(
        line(72, 700, "Name:"), line(72, 670, "Country:"), line(90, 640, "I accept the terms."), annotations=fields
    )


def _undrawn() -> bytes:
    pdf = PdfFile()
    field = text_field(pdf, "account", "AT61 1904", (150, 696), drawn=False)
    pdf.page(line(72, 700, "Account:"), line(72, 670, "Sign below."), annotations=[field])
    return pdf.bytes(appearances=False)


def _over_pages(pdf: PdfFile) -> None:
    pdf.page(lines(72, 100, "This sentence starts on the first page and it is", "continued, after 2 lines, on the"))
    pdf.page(lines(72, 720, "second page, where it ends with 18.", "A new sentence follows."))


CASES = (
    one_page(
        "headings by size",
        line(72, 730, "Fees", 22)
        + lines(72, 700, "All fees include taxes. They are due at the end of", "each month and taken from the account.")
        + line(72, 650, "Cash abroad", 16)
        + lines(72, 628, "Cash costs 2.99 percent of the amount withdrawn, and", "at least 3 euros."),
        "Fees All fees include taxes. They are due at the end of each month and taken from the account. Cash abroad "
        "Cash "
        "costs 2.99 percent of the amount withdrawn, and at least 3 euros.",
        headings=((1, "Fees"), (2, "Cash abroad")),
    ),
    one_page(
        "bold headings of the same size",
        line(72, 730, "Lost cards", 11, "F2")
        + lines(72, 706, "Call us at once, by day or by night, and have the", "number of your account ready for us.")
        + line(72, 660, "Stolen cards", 11, "F2")
        + lines(72, 636, "Report the theft to the police too, and send us a", "copy within 14 days."),
        "Lost cards Call us at once, by day or by night, and have the number of your account ready for us. Stolen "
        "cards "
        "Report the theft to the police too, and send us a copy within 14 days.",
        headings=((1, "Lost cards"), (1, "Stolen cards")),
    ),
    one_page(
        "numbered headings",
        line(72, 730, "1 Scope", 16, "F2")
        + lines(72, 706, "These terms hold for all branches of the bank and", "for its customers.")
        + line(72, 660, "1.1 Persons", 13, "F2")
        + lines(72, 636, "A customer is a person with an account, who is at", "least 18 years old."),
        "1 Scope These terms hold for all branches of the bank and for its customers. 1.1 Persons A customer is a "
        "person "
        "with an account, who is at least 18 years old.",
        headings=((1, "1 Scope"), (2, "1.1 Persons")),
        numbers=("1 Scope", "1.1 Persons"),
    ),
    one_page(
        "heading over two lines",
        lines(72, 740, "Terms and conditions for the", "accounts of young customers", size=20, pitch=24, font="F2")
        + lines(72, 680, "The account is free until the age of 26, and it has", "a card and an app."),
        "Terms and conditions for the accounts of young customers The account is free until the age of 26, and it "
        "has a "
        "card and an app.",
        headings=((1, "Terms and conditions for the accounts of young customers"),),
    ),
    one_page(
        "numbered list",
        lines(72, 720, "1. Open the app.", "2. Choose the card that you lost.", "3. Press the red button.", pitch=18),
        "1. Open the app.\n2. Choose the card that you lost.\n3. Press the red button.",
        numbers=("1. Open the app", "2. Choose the card", "3. Press the red"),
    ),
    one_page(
        "list entries over two lines",
        lines(72, 720, "4. Sign the form with your full name,")
        + lines(86, 706, "and add the date of the day.")
        + lines(72, 688, "5. Send it to the branch in Main Street,")
        + lines(86, 674, "or hand it in."),
        "4. Sign the form with your full name, and add the date of the day.\n5. Send it to the branch in Main "
        "Street, or "
        "hand it in.",
        numbers=("4. Sign the form", "5. Send it to"),
    ),
    one_page(
        "bullets",
        "\n".join(line(72, y, "•") + line(86, y, text) for y, text in ((720, "a passport"), (704, "a salary of 900"))),
        "a passport\na salary of 900",
    ),
    one_page("ruled table", cells(72, 700, _WIDTHS, _PRICES, ruled=True), _PRICE_TEXT, rows=_PRICE_ROWS),
    one_page("unruled table", cells(72, 700, _WIDTHS, _PRICES, ruled=False), _PRICE_TEXT, rows=_PRICE_ROWS),
    one_page(
        "ruled table with empty cells", cells(72, 700, _WIDTHS, _EMPTY, ruled=True), _EMPTY_TEXT, rows=_EMPTY_ROWS
    ),
    one_page(
        "unruled table with empty cells", cells(72, 700, _WIDTHS, _EMPTY, ruled=False), _EMPTY_TEXT, rows=_EMPTY_ROWS
    ),
    one_page(
        "table between paragraphs",
        lines(72, 740, "The table below names our prices of this year, which", "hold until further notice.")
        + cells(72, 690, _WIDTHS, _PRICES, ruled=True)
        + lines(72, 590, "Prices include taxes. The bank may change them with", "a notice of 60 days."),
        "The table below names our prices of this year, which hold until further notice. "
        + _PRICE_TEXT
        + " Prices include taxes. The bank may change them with a notice of 60 days.",
        rows=_PRICE_ROWS,
    ),
    one_page(
        "table with cells of two lines",
        cells(
            72,
            700,
            (150, 200),
            (("Account", "Includes"), ("Youth", "a card, an app and"), ("", "3 transfers")),
            ruled=False,
        )
        + " 72 714 m 422 714 l S 72 694 m 422 694 l S 72 654 m 422 654 l S 72 634 m 422 634 l S"
        + " 72 714 m 72 634 l S 222 714 m 222 634 l S 422 714 m 422 634 l S "
        + line(76, 640, "Family")
        + line(226, 640, "4 cards"),
        "Account Includes Youth a card, an app and 3 transfers Family 4 cards",
        rows=table("Account | Includes", "Youth | a card, an app and 3 transfers", "Family | 4 cards"),
    ),
    one_page(
        "numbers set to the right",
        lines(72, 700, "Month", "January", "February", pitch=20)
        + "\n".join(line(x, y, t) for x, y, t in ((230, 700, "Income"), (245, 680, "900"), (232, 660, "12,500")))
        + "\n".join(line(x, y, t) for x, y, t in ((330, 700, "Costs"), (340, 680, "80"), (326, 660, "1,250"))),
        "Month Income Costs January 900 80 February 12,500 1,250",
        rows=table("Month | Income | Costs", "January | 900 | 80", "February | 12,500 | 1,250"),
    ),
    pdf_case(
        "filled form",
        _form,
        "Name: Ann Berg Country: Norway I accept the terms.",
        forbidden=("Spain", "Austria"),
        optional="x X Yes terms name country",
    ),
    Case(
        "pdf/form whose values the viewer draws", ".pdf", _undrawn, "Account: AT61 1904 Sign below.", optional="account"
    ),
    pdf_case(
        "sentence over two pages",
        _over_pages,
        "This sentence starts on the first page and it is continued, after 2 lines, on the second page, where it ends "
        "with 18. A new sentence follows.",
    ),
)
