"""PDF: filled form fields are read, and pages of pictures are reported by every ingest."""

from __future__ import annotations

from pathlib import Path

import pytest

from retrieval import Limits, ingest, plan_ingest
from retrieval.conversion.child import Converter
from retrieval.conversion.convert import convert_here
from retrieval.conversion.ocr.recognition import how_to_recognise
from tests.support.hashing_encoder import HashingEncoder
from tests.support.pdf_files import PROSE, form, pictures


def read(data: bytes) -> str:
    return convert_here(data, ".pdf", "a.pdf").text


def field(name: str, y: int, more: str, x: int = 250) -> str:
    return f"/T ({name}) /Rect [{x} {y} {x + 120} {y + 20}] {more}"


def test_the_values_of_fields_stand_beside_their_labels() -> None:
    labels = [
        (72, 755, "Tenancy record"),
        (72, 715, "Monthly rent:"),
        (72, 685, "Pets allowed:"),
        (72, 655, "Heating:"),
    ]
    labels += [(72, 625, "Notice:"), (72, 595, "Empty:")]
    fields = [
        field("rent", 710, "/FT /Tx /V (845)"),
        field("pets", 680, "/FT /Btn /V /Yes /AS /Yes /AP << /N << /Yes 5 0 R /Off 5 0 R >> >>"),
        field("heat", 650, "/FT /Ch /Ff 131072 /Opt [[(d) (district)] [(g) (gas)]] /V (d)"),
        field("notice", 620, "/FT /Tx /V <FEFF00740065006E0020007700650065006B0073>"),
        field("nothing", 590, "/FT /Tx"),
    ]
    assert read(form(labels, fields)) == (
        "Tenancy record\n\nMonthly rent: 845\nPets allowed: [x]\nHeating: district\nNotice: ten weeks\n\nEmpty:\n"
    )


def test_a_value_without_a_label_beside_it_has_the_name_of_its_field() -> None:
    fields = [
        field("rent", 500, "/FT /Tx /V (845)"),
        field("b", 450, "/TU (Monthly fee) /FT /Tx /V (12)"),
        field("c", 400, "/FT /Btn /Ff 32768 /V /gas /AS /gas /AP << /N << /gas 5 0 R /Off 5 0 R >> >>"),
    ]
    assert read(form([], fields)).split("\n\n") == ["rent: 845", "Monthly fee: 12", "c: [x] gas\n"]


def test_several_choices_lines_and_text_typed_over_the_page() -> None:
    fields = [
        field("days", 500, "/FT /Ch /Ff 2097152 /Opt [(Monday) (Tuesday) (Friday)] /V [(Monday) (Friday)] /I [0 2]"),
        field("street", 400, "/FT /Tx /Ff 4096 /V (Main Street\\rLondon)"),
        field("secret", 300, "/FT /Tx /Ff 8192 /V (hunter2)"),
        field("hidden", 200, "/FT /Tx /V (unseen) /F 2").replace("/F 4", ""),
    ]
    typed = "/Subtype /FreeText /Rect [72 600 300 620] /Contents (Signed in May) /DA (/F 11 Tf)"
    text = read(form([(72, 700, "Form")], fields, [typed]))
    assert "days: Monday, Friday" in text
    assert "street: Main Street" in text
    assert "London" in text
    assert "Signed in May" in text
    assert "hunter2" not in text


def test_pages_of_pictures_are_noted() -> None:
    converted = convert_here(pictures([PROSE, "", "", "", PROSE, "", PROSE]), ".pdf", "a.pdf")
    assert converted.unread == (
        f"pages 2 to 4, 6 of 7 hold pictures and no text that can be read; {how_to_recognise()}",
    )
    assert convert_here(pictures([PROSE]), ".pdf", "a.pdf").unread == ()
    with Converter(Limits()) as converter:
        assert converter.convert(pictures([PROSE, ""]), ".pdf", "a.pdf").unread == (
            f"page 2 of 2 holds pictures and no text that can be read; {how_to_recognise()}",
        )


@pytest.mark.heavy
def test_every_ingest_reports_the_pages_that_it_could_not_read(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "mixed.pdf").write_bytes(pictures([PROSE, "", ""]))
    (docs / "a.md").write_text("Text.")
    encoder = HashingEncoder(dimension=32)
    note = (
        "mixed.pdf",
        f"pages 2, 3 of 3 hold pictures and no text that can be read; {how_to_recognise()}",
    )
    for _ in range(2):
        report = ingest(docs, tmp_path / "index", encoder)
        assert (report.notes, report.unread, report.failed) == ((note,), ("mixed.pdf",), ())
    assert plan_ingest(docs, tmp_path / "index", encoder).unread == ("mixed.pdf",)
    (docs / "mixed.pdf").write_bytes(pictures([PROSE]))
    assert ingest(docs, tmp_path / "index", encoder).unread == ()
    assert ingest(docs, tmp_path / "index", encoder).notes == ()
