"""Scanned pages are read by text recognition, in the child process and within its limits."""

from __future__ import annotations

from pathlib import Path

import pytest

from retrieval import ConversionError, Limits, PassageStore, ingest
from retrieval.conversion.child import Converter
from retrieval.conversion.convert import convert_here
from retrieval.conversion.ocr.recognition import Recognition
from retrieval.store.store import DATABASE_NAME
from tests.support.hashing_encoder import HashingEncoder
from tests.support.pdf_files import PROSE, pictures, printed
from tests.support.scans import as_file, needs_ocr, picture, scanned

pytestmark = [needs_ocr, pytest.mark.heavy]

ROWS = [("Article", "Price", "Stock"), ("Ball valve", "14.95", "310"), ("Flow meter", "112.40", "8")]
TABLE = printed(
    [(20 + 50 * column, 30 + 8 * row, cell) for row, cells in enumerate(ROWS) for column, cell in enumerate(cells)]
)
FOUND = "Article | Price | Stock\nBall valve | 14.95 | 310\nFlow meter | 112.40 | 8\n"
RECOGNITION = Recognition(3)


def test_a_scanned_table_is_read_in_the_child_process() -> None:
    page = picture(TABLE, share=0.25)
    with Converter(Limits(), RECOGNITION) as converter:
        converted = converter.convert(scanned([page]), ".pdf", "scan.pdf")
        assert converted.text == FOUND
        assert (converted.recognised, converted.unread) == ((1,), ())
        assert converted.notes == ("page 1 of 1 read by text recognition (OCR), which may get a number wrong",)
        # The same file gives the same text.
        assert converter.convert(scanned([page]), ".pdf", "scan.pdf") == converted


@pytest.mark.slow
def test_an_ingest_reads_scanned_pages_once(tmp_path: Path) -> None:
    docs, index = tmp_path / "docs", tmp_path / "index"
    docs.mkdir()
    (docs / "scan.pdf").write_bytes(scanned([picture(TABLE, share=0.25)]))
    (docs / "text.pdf").write_bytes(pictures([PROSE]))
    (docs / "photo.png").write_bytes(as_file([picture(TABLE, share=0.25)], "PNG"))
    encoder = HashingEncoder(dimension=32)
    report = ingest(docs, index, encoder)
    assert [name for name, _ in report.failed] == ["scan.pdf"]
    report = ingest(docs, index, encoder, recognition=RECOGNITION)
    assert (report.added, report.unchanged, report.failed, report.unread) == (1, 1, (), ())
    assert report.skipped == ("photo.png",)
    report = ingest(docs, index, encoder, recognition=Recognition(3, images=True))
    assert (report.added, report.unchanged, report.skipped) == (1, 2, ())
    with PassageStore.open(index / DATABASE_NAME) as store:
        for name in ("scan", "photo"):
            document = store.document(name)
            assert (document.text, document.metadata) == (FOUND, {"ocr": True, "ocr_pages": [[1, 1]]})
        assert store.document("text").metadata == {}


@pytest.mark.slow
@pytest.mark.parametrize("turned", [90, 180, 270])
def test_a_page_in_another_direction(turned: int) -> None:
    page = picture(TABLE, share=0.25, turned=turned)
    assert convert_here(scanned([page]), ".pdf", "scan.pdf", RECOGNITION).text == FOUND


@pytest.mark.slow
def test_pages_beyond_the_limit_and_pages_without_text() -> None:
    page = picture(TABLE, share=0.25)
    blank = page.point(lambda _: 255)
    data = as_file([page, blank, page, page], "TIFF")
    converted = convert_here(data, ".tif", "scan.tif", RECOGNITION)
    assert converted.text == f"{FOUND}\n{FOUND}"
    assert converted.recognised == (1, 3)
    assert len(converted.page_starts) == 4
    assert "found no text on page 2 of 4" in converted.notes[1]
    assert converted.unread[0].startswith("page 4 of 4 not read: text recognition (OCR) reads at most 3 pages")


@pytest.mark.slow
def test_the_limits_of_time_and_memory() -> None:
    data = scanned([picture(TABLE)])
    limits = {"took longer than": Limits(seconds=0.5), "more than 500 MiB of memory": Limits(memory_mib=500)}
    for message, limit in limits.items():
        with Converter(limit, RECOGNITION) as converter, pytest.raises(ConversionError, match=message):
            converter.convert(data, ".pdf", "scan.pdf")
