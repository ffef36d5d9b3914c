"""Documents and quotes of questions: found by id, path and text, and named if they do not exist."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from evaluation import Item
from evaluation.questions.references import DocumentNames, LostReference, closest_text, find_quote, resolve
from retrieval import PassageStore, ingest
from retrieval.store.store import DATABASE_NAME
from tests.support.hashing_encoder import HashingEncoder

FEES = "# Fees\n\nThe card costs “6 pounds” – each\nyear. A second card is free.\n"
FILES = {
    "fees.md": FEES,
    "loans/terms.md": "# Terms\n\nA loan runs for 24 months.\n",
    "cards/terms.txt": "A card is valid for 36 months.\n",
    "rows.jsonl": '{"id": "row-1", "text": "We open at nine."}\n{"id": "9", "text": "We close at five."}\n',
}


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DocumentNames]:
    folder = tmp_path_factory.mktemp("references")
    for name, text in FILES.items():
        path = folder / "docs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    ingest(folder / "docs", folder / "index", HashingEncoder(dimension=32))
    with PassageStore.open(folder / "index" / DATABASE_NAME) as store:
        yield DocumentNames(store)


@pytest.mark.parametrize(
    ("name", "doc_id"),
    [
        ("fees", "fees"),
        ("fees.md", "fees"),
        ("docs/fees.md", "fees"),
        ("./docs/fees.md", "fees"),
        ("/home/me/shop/docs/loans/terms.md", "loans/terms"),
        ("docs\\loans\\terms", "loans/terms"),
        ("Loans/Terms.MD", "loans/terms"),
        ("terms.txt", "cards/terms"),
        ("terms.md", "loans/terms"),
        # Two documents have this name.
        ("terms", None),
        ("fees.pdf", None),
        ("other/fees.md", None),
        ("row-1", "row-1"),
        ("ROW-1", "row-1"),
        ("rows.jsonl", None),
        ("rows", None),
        ("", None),
    ],
)
def test_a_document_is_found_by_its_path(names: DocumentNames, name: str, doc_id: str | None) -> None:
    assert names.find(name) == doc_id


def test_paths_and_quotes_become_those_of_the_documents(names: DocumentNames) -> None:
    known = Item(id="1", question="?", doc_id="fees", quote="A second card is free.")
    path = Item(id="2", question="?", doc_id="docs/fees.md", quote='the card costs "6 pounds" - each year.')
    several = Item(id="3", question="?", doc_ids=("fees.md", "9"))
    items, lost = resolve([known, path, several], names)
    assert lost == []
    assert items[0] is known
    assert (items[1].doc_id, items[1].quote) == ("fees", "The card costs “6 pounds” – each\nyear.")
    assert items[1].quote in names.text("fees")
    assert items[2].doc_ids == ("fees", "9")


def test_what_does_not_exist_is_named_and_removed(names: DocumentNames) -> None:
    items, lost = resolve(
        [
            Item(id="1", question="?", doc_id="feees"),
            Item(id="2", question="?", doc_id="prices", quote="A loan runs for 24 months."),
            Item(id="3", question="?", doc_id="fees", quote="A second card costs nothing, it is free"),
            Item(id="4", question="?", doc_id="fees", quote="Horses are welcome."),
            Item(id="5", question="?", doc_ids=("fees", "row-2")),
        ],
        names,
    )
    assert lost == [
        LostReference("1", "?", "doc_id", "feees", "fees"),
        # The document that has the quote, not one with a similar name.
        LostReference("2", "?", "doc_id", "prices", "loans/terms"),
        LostReference("3", "?", "quote", "A second card costs nothing, it is free", "A second card is free."),
        LostReference("4", "?", "quote", "Horses are welcome.", None),
        LostReference("5", "?", "doc_ids", "row-2", "row-1"),
    ]
    assert [item.documents for item in items] == [set(), set(), {"fees"}, {"fees"}, {"fees"}]
    assert [item.quote for item in items[2:4]] == ["", ""]


@pytest.mark.parametrize(
    ("quote", "found"),
    [
        ("A second card is free.", "A second card is free."),
        ("each   year.\n\nA second", "each\nyear. A second"),
        ("«6 POUNDS» -", "“6 pounds” –"),
        ("a third card", None),
        (" \n", None),
        ("", ""),
    ],
)
def test_white_space_quotation_marks_dashes_and_case_do_not_count(quote: str, found: str | None) -> None:
    assert find_quote(FEES, quote) == found


def test_letters_that_are_two_without_case() -> None:
    assert find_quote("Die Straße İst weit.", "die STRASSE i\u0307st WEIT") == "Die Straße İst weit"


def test_the_closest_text_has_as_many_sentences_as_the_quote() -> None:
    text = "One costs 5. Two costs 6. Three costs 7. It snows."
    assert closest_text(text, "Two will cost 6. Three will cost 7.") == "Two costs 6. Three costs 7."
    assert closest_text(text, "Elephants sleep.") is None
    assert closest_text("", "Anything.") is None
