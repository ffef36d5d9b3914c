"""A citation says whether its page was read by text recognition."""

from __future__ import annotations

import pytest

from chains import cite
from chains.answering.citations import verify_citations
from chains.messages.answer_messages import annotation
from retrieval import Document, Passage

FIRST, SECOND = "The rent is 845 a month.", "The deposit is 2,535."
TEXT = f"{FIRST}\n{SECOND}\n"
PASSAGE = Passage("p1", "lease", "Lease", "", TEXT, 0, len(TEXT), 1)


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"ocr": True, "ocr_pages": [[2, 3]]}, [False, True]),
        ({"ocr": True, "ocr_pages": [[1, 2]]}, [True, True]),
        ({}, [False, False]),
    ],
)
def test_the_page_of_the_quote_decides(metadata: dict[str, object], expected: list[bool]) -> None:
    document = Document(
        "lease", "Lease", TEXT, "lease", "lease.pdf", "0", "pdf/5", (0, len(FIRST) + 1), metadata=metadata
    )
    kept, notices = verify_citations(cite(f"{FIRST} {SECOND}", [PASSAGE]), lambda _: document)
    assert ([one.ocr for one in kept], [one.page for one in kept], notices) == (expected, [1, 2], [])
    shown = annotation({name: getattr(kept[1], name) for name in kept[1].__slots__})
    assert shown["extras"].get("ocr", False) is expected[1]
