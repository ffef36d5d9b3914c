"""Rows of JSONL and CSV with any columns: their text, title, id, metadata, and what the user is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chains import EncoderEmbeddings, FaissStore
from retrieval import ConversionError, Encoder, ingest, open_index
from retrieval.conversion import format_csv, format_jsonl
from retrieval.conversion.converted import SourceRow, SourceRows


def jsonl(*rows: Any) -> SourceRows:
    return format_jsonl.read_rows("\n".join(map(json.dumps, rows)).encode(), "shop/rows.jsonl")


def row_of(**values: Any) -> SourceRow:
    [row] = jsonl(values).rows
    return row


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"product": "Drill", "price": 99.5}, "product: Drill\nprice: 99.5"),
        ({"id": 7, "product": "Drill"}, "product: Drill"),
        ({"a": "x", "address": {"city": "Ulm", "geo": {"lat": 48}}}, "a: x\naddress.city: Ulm\naddress.geo.lat: 48"),
        ({"name": "Shop", "days": ["Mon", "Tue"], "open": True}, "name: Shop\ndays: Mon, Tue\nopen: true"),
        (
            {"name": "Shop", "hours": [{"day": "Mon", "at": "9-5"}, {"day": "Sat", "at": None}]},
            "name: Shop\nhours: day: Mon, at: 9-5\nhours: day: Sat",
        ),
        ({"a": "x", "b": None, "c": "", "d": " ", "e": [], "f": {}, "g": [None], "h": {"i": None}}, "a: x"),
        ({"a": "x\n y", "b": 10**20}, "a: x y\nb: 100000000000000000000"),
        ({"text": ["One.", "Two."]}, "One.\n\nTwo."),
        ({"text": {"de": "Eins.", "en": "One."}}, "de: Eins.\nen: One."),
        ({"text": 12}, "12"),
        ({"text": None, "city": "Ulm"}, "city: Ulm"),
        ({"txt": "One."}, "txt: One."),
        ({"": "One."}, "One."),
        ({"id": "a", "title": "One"}, "title: One"),
    ],
)  # fmt: skip
def test_the_text_of_a_row(values: dict[str, Any], text: str) -> None:
    assert row_of(**values).text == text


def test_missing_numbers_of_python_are_left_out() -> None:
    [row] = format_jsonl.read_rows(b'{"a": "x", "b": NaN, "c": Infinity}', "rows.jsonl").rows
    assert row.text == "a: x"
    json.dumps(dict(row.metadata), allow_nan=False)


@pytest.mark.parametrize("name", ["content", "body", "page_content", "Page-Content", "passage"])
def test_other_names_of_the_text(name: str) -> None:
    found = jsonl({name: "The card is free in the first year.", "lang": "en"})
    assert found.rows[0].text == "The card is free in the first year."
    assert f"the column {name!r} was read as the text" in found.notes


def test_documents_as_langchain_and_retrieval_benchmarks_write_them() -> None:
    row = row_of(page_content="The card is free.", metadata={"source": "a.pdf", "lang": "en"}, type="Document")
    assert (row.text, row.metadata) == ("The card is free.", {"source": "a.pdf", "lang": "en", "type": "Document"})
    row = row_of(_id="4983", title="", text="The card is free.", metadata={})
    assert (row.id, row.title, row.metadata) == ("4983", "The card is free.", {})


def test_a_short_value_of_such_a_name_is_not_the_text() -> None:
    assert row_of(name="Cream for dry hands", content="50 ml").text == "name: Cream for dry hands\ncontent: 50 ml"


@pytest.mark.parametrize("name", ["_id", "doc_id", "docId", "uuid"])
def test_other_names_of_the_id(name: str) -> None:
    found = jsonl({name: 7, "text": "One."}, {name: "b", "text": "Two."}, {name: "b", "text": "Three."})
    # A guessed id need not be unique.
    assert [row.id for row in found.rows] == ["7", "b", "shop/rows#3"]
    assert f"the column {name!r} was read as the id" in found.notes


@pytest.mark.parametrize(
    ("given", "id_"),
    [(12, "12"), (12.0, "12"), (1.5, "1.5"), (0, "0"), (None, "shop/rows#1"), ("", "shop/rows#1"),
     ({"$oid": "f"}, "f")],
)  # fmt: skip
def test_ids_become_text(given: object, id_: str) -> None:
    assert row_of(id=given, text="One.").id == id_


@pytest.mark.parametrize("given", [True, ["a"], {"a": 1, "b": 2}])
def test_an_id_that_is_none_is_refused(given: object) -> None:
    with pytest.raises(ConversionError, match=r"line 1: 'id': .* is neither text nor a number"):
        row_of(id=given, text="One.")


def test_an_id_that_occurs_twice_is_refused() -> None:
    with pytest.raises(ConversionError, match="line 2: the id '12' is already used in line 1"):
        jsonl({"id": 12, "text": "One."}, {"id": "12", "text": "Two."})


@pytest.mark.parametrize(
    ("values", "title"),
    [
        ({"title": "Cards", "name": "x", "text": "One."}, "Cards"),
        ({"title": 7, "text": "One."}, "7"),
        ({"city": "Ulm", "name": "Shop", "text": "One."}, "Shop"),
        ({"brand": "Acme", "product_name": "Drill"}, "Drill"),
        ({"question": "Is it free?", "answer": "Yes."}, "Is it free?"),
        ({"width": 100, "city": "Ulm", "note": "x" * 200}, "Ulm"),
        ({"lang": "en", "url": "https://example.org", "at": "2024-05-01T10:00", "city": "Ulm"}, "Ulm"),
        ({"名称": "信用卡", "价格": 12}, "信用卡"),
        ({"id": "card-fees", "text": "One."}, "card-fees"),
        ({"id": 12, "text": "Open at nine."}, "Open at nine."),
        ({"text": "Open at nine.\nAnd more."}, "Open at nine."),
        ({"id": "3f2504e0-4f89-11d3-9a0c-0305e82c3301", "text": "Open at nine."}, "Open at nine."),
        ({"id": "0012", "text": "Open at nine."}, "Open at nine."),
        ({"year": 2024, "price": 3}, "year: 2024"),
        ({"text": "word " * 100}, "word " * 15 + "word…"),
        ({"question": "Why " * 50, "answer": "So."}, "Why " * 19 + "Why…"),
        ({"title": None, "subject": "Fees", "text": "One."}, "Fees"),
    ],
)
def test_the_title_of_a_row(values: dict[str, Any], title: str) -> None:
    assert row_of(**values).title == title


def test_other_columns_are_metadata_with_their_types() -> None:
    row = row_of(
        text="One.", year=2024, free=True, tags=["a", None, "b"], address={"city": "Ulm"}, empty=None,
        metadata={"lang": "en", "page": 3}, hours=[{"day": "Mon"}], huge=2**2000, zero="a\0b",
    )  # fmt: skip
    assert row.text == "One."
    assert dict(row.metadata) == {
        "year": 2024, "free": True, "tags": ["a", "b"], "address.city": "Ulm", "lang": "en", "hours": ["day: Mon"],
        "zero": "ab",
    }  # fmt: skip


def test_the_user_is_told_what_was_guessed_and_ignored() -> None:
    found = jsonl(
        {"id": 1, "text": "One.", "url": "x", "titel": "T", "vector": [0.5] * 300, "page": 2},
        {"product": "Drill"},
        {"id": 3, "text": " "},
    )
    assert found.notes == (
        "rows without a column 'text' were read as lines of the form \"name: value\"",
        "kept as metadata and not as text: url, titel (did you mean title?)",
        "left out as lists of numbers: vector",
        "not in the metadata, which has such names already: page",
        "there is no title, so it is that of the column 'product'",
        "there is no title, so it is the beginning of the text",
        "line 3: 'text' is empty; the row was left out",
    )
    assert jsonl({"id": "a", "title": "T", "text": "One.", "group": "g"}).notes == ()
    assert jsonl({"id": "a", "text": "One."}).notes == ()


def test_a_long_value_is_no_metadata() -> None:
    found = jsonl({"id": "a", "text": "One.", "html": "<p>" * 500, "lang": "en"})
    assert found.rows[0].metadata == {"lang": "en"}
    assert "too long for the metadata: html" in found.notes


def test_a_file_without_anything_to_read_is_refused() -> None:
    with pytest.raises(ConversionError, match=r"rows\.jsonl, line 1: there is nothing but id; line 2: 'text' is empty"):
        jsonl({"id": 1}, {"id": 2, "text": None})


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_jsonl_in_other_encodings(encoding: str) -> None:
    data = '{"text": "Öffnet um neun.\u2028Immer."}\r\n\r\n{"text": "Zwei."}\r\n'.encode(encoding)
    assert [row.text for row in format_jsonl.read_rows(data, "a.jsonl").rows] == [
        "Öffnet um neun.\u2028Immer.",
        "Zwei.",
    ]


def write_jsonl(path: Path) -> None:
    rows = [{"id": n, "text": f"Branch {n} opens at nine.", "city": city, "floor": n} for n, city in enumerate(CITIES)]
    path.with_suffix(".jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")


def write_csv(path: Path) -> None:
    rows = [f"{n},Branch {n} opens at nine.,{city},{n}" for n, city in enumerate(CITIES)]
    path.with_suffix(".csv").write_text("\n".join(["id,text,city,floor", *rows]), encoding="utf-8")


CITIES = ("Ulm", "Bern", "Ulm")


@pytest.mark.parametrize("write", [write_jsonl, write_csv])
def test_search_results_can_be_filtered_by_the_columns_of_rows(
    tmp_path: Path, encoder: Encoder, write: Callable[[Path], None]
) -> None:
    docs, index_dir = tmp_path / "docs", tmp_path / "index"
    docs.mkdir()
    write(docs / "branches")
    (docs / "notes.md").write_text("# Branches\n\nA branch opens at nine.", encoding="utf-8")
    assert ingest(docs, index_dir, encoder).added == 4
    with FaissStore(EncoderEmbeddings(encoder), folder=index_dir) as store:
        found = store.similarity_search("branch", k=9, filter={"city": "Ulm", "floor": {"$gte": 1}})
        assert [document.metadata["doc_id"] for document in found] == ["2"]
        assert (found[0].metadata["floor"], found[0].metadata["page"]) == (2, None)
        [other] = store.similarity_search("branch", k=9, filter={"city": {"$exists": False}})
        assert set(other.metadata) == {"doc_id", "title", "heading", "page", "start", "end"}
    with open_index(index_dir, encoder) as index:
        assert index.document("1").metadata == {"city": "Bern", "floor": 1}
        assert index.document("notes").metadata == {}
    assert ingest(docs, index_dir, encoder).unchanged == 4


def test_both_formats_read_the_same_rows() -> None:
    csv = format_csv.read_rows(b"id,text,url,lang\n12,Open at nine.,https://example.org/a,en\n", "rows.csv")
    [row], [other] = (
        csv.rows,
        jsonl({"id": 12, "text": "Open at nine.", "url": "https://example.org/a", "lang": "en"}).rows,
    )
    assert (row.id, row.title, row.metadata) == (other.id, other.title, other.metadata)
