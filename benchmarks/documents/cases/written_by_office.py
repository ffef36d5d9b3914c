"""Documents that LibreOffice wrote: the same content in several formats."""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks.documents.building.office_files import office_file
from benchmarks.documents.case import Case, table


def _each(name: str, suffixes: tuple[str, ...], text: str, **expected: Any) -> tuple[Case, ...]:
    """A case per format of a document."""
    return tuple(
        Case(f"{suffix[1:]}/{name} by LibreOffice", suffix, partial(office_file, name + suffix), text, **expected)
        for suffix in suffixes
    )


CASES = (
    *_each(
        "structure",
        (".docx", ".odt", ".pdf", ".html"),
        "Card fees\nAll fees of this list include taxes, and they are taken from the account at the end of a month.\n"
        "Lost cards\n4. Call us at once, by day or by night.\n5. Sign the form.\nYou need:\na passport\n"
        "the account number\nBranches\nCountry City Staff\nAustria Vienna 31\nGraz\nNorway Oslo 15\n"
        "The list was made in May.",
        optional="Austria",
        headings=((1, "Card fees"), (2, "Lost cards"), (2, "Branches")),
        numbers=("4. Call us at", "5. Sign the form"),
        rows=table("City | Country | Staff", "Vienna | Austria | 31", "Graz | Austria | ", "Oslo | Norway | 15"),
    ),
    *_each(
        "marks",
        (".docx", ".odt"),
        "The field has 30 ² metres of H₂O.\nThe price is 10 euros.\nThe fee is 15 euros a year.\n"
        "It is unbelievably cheap.\nNew customers only.",
        optional="1",
        forbidden=("302", "999", "151"),
    ),
    # A PDF shows the footnote at the end of the page, with its mark.
    *_each(
        "marks",
        (".pdf",),
        "The field has 30 ² metres of H₂O. The price is 10 euros. The fee is 15 euros a year. It is "
        "unbelievably cheap. New customers only.",
        optional="1",
        forbidden=("302", "999", "151"),
    ),
    *_each("changes", (".docx", ".odt"), "The limit is 77 euros.", forbidden=("88", "8877")),
    *_each(
        "columns",
        (".docx", ".pdf"),
        "Products\nThe left column tells of loans. A loan runs for 60 months at a fixed rate of 6.4 percent. It "
        "needs a salary.\nThe right column tells of cards. A card is valid for 4 years and renewed 30 days before the "
        "end of its term.\nBelow both columns stands the last line of this page, which counts 14 words.",
        headings=((1, "Products"),),
    ),
    *_each(
        "scripts",
        (".docx", ".odt", ".pdf"),
        "عمولة السحب في الخارج هي 25 درهما.\nالعملة هي اليورو، والبطاقة صالحة 4 سنوات.\n"
        "העמלה היא 14 שקל בחודש, והכרטיס תקף.",
    ),
    *_each("chinese", (".docx", ".pdf"), "境外取现收取百分之三的手续费，最低五元。\n补办新卡需要七个工作日。"),
    *_each(
        "frame",
        (".docx", ".odt"),
        "Text beside a frame.\nThe text goes on.\nNote: open 24 hours.\nText below.",
    ),
    *_each(
        "branches",
        (".xlsx", ".pdf"),
        "City Since Share Staff\nVienna 2019-03-05 62.5% 31\nGraz 37.5% 8\nCard Fee\nGold 40",
        optional="Branches Fees Page 1 2",
        forbidden=("0.625", "0.375", "00:00:00"),
        rows=table(
            "City | Since | Share | Staff",
            "Vienna | 2019-03-05 | 62.5% | 31",
            "Graz | | 37.5% | 8",
        )
        + table("Card | Fee", "Gold | 40"),
    ),
    *_each(
        "slides",
        (".pdf",),
        "Our fees\nCards cost 12 euros\nLoans cost 6.4 percent\nContact\n1. Call 555 01 99\n2. Write",
        numbers=("1. Call 555", "2. Write"),
    ),
)
