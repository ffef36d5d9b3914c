"""Text recognition: what is said and done without its packages, and the limits. No engine is loaded."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from retrieval import ConversionError, Limits, ingest, plan_ingest
from retrieval.conversion.convert import convert_bytes, convert_here
from retrieval.conversion.converted import Converted
from retrieval.conversion.ocr import recognition
from retrieval.conversion.ocr.recognition import (
    PIP_INSTALL,
    PageCounts,
    Recognition,
    is_recognised,
    listed,
    spans,
    variant,
    with_pages,
)
from retrieval.ingestion.docs_folder import walk_files
from retrieval.ingestion.folder_reader import FolderReader
from retrieval.store.store import StoredDocument
from tests.support.hashing_encoder import HashingEncoder
from tests.support.pdf_files import PROSE, pictures

SPLITTER = "split"


@pytest.fixture
def without_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(recognition, "version", version)


@pytest.fixture
def with_packages(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    versions = {"rapidocr": "3.10.0", "onnxruntime": "1.32.0"}
    monkeypatch.setattr(recognition, "version", versions.__getitem__)
    return versions


def png(width: int, height: int) -> bytes:
    """The beginning of a PNG file of this size."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return start + struct.pack(">I", 100) + b"IDAT"


@pytest.mark.usefixtures("without_packages")
def test_an_ingest_that_wants_ocr_names_the_pip_command(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.md").write_text("Text.")
    for work in (ingest, plan_ingest):
        with pytest.raises(ConversionError, match="needs the package rapidocr") as caught:
            work(docs, tmp_path / "index", HashingEncoder(dimension=32), recognition=Recognition(5))
        assert PIP_INSTALL in caught.value.next_step
    assert not (tmp_path / "index").exists()


@pytest.mark.usefixtures("without_packages")
def test_pictures_are_reported_with_the_pip_command() -> None:
    (note,) = convert_here(pictures([PROSE, ""]), ".pdf", "a.pdf").unread
    assert note.startswith("page 2 of 2 holds pictures and no text that can be read")
    assert PIP_INSTALL in note
    with pytest.raises(ConversionError) as caught:
        convert_here(pictures(["", ""]), ".pdf", "a.pdf")
    assert PIP_INSTALL in caught.value.next_step


@pytest.mark.usefixtures("with_packages")
def test_pictures_are_reported_with_the_setting() -> None:
    (note,) = convert_here(pictures([PROSE, ""]), ".pdf", "a.pdf").unread
    assert "`ocr: auto` under `ingest:`" in note


@pytest.mark.usefixtures("with_packages")
def test_images_are_documents_only_on_request(tmp_path: Path) -> None:
    for name in ("a.md", "scan.png", "b.JPG", "c.tiff"):
        (tmp_path / name).write_bytes(b"x")
    assert [path.name for path in walk_files(tmp_path).files] == ["a.md"]
    assert walk_files(tmp_path).skipped == ["b.JPG", "c.tiff", "scan.png"]
    assert len(walk_files(tmp_path, images=True).files) == 4
    with pytest.raises(ConversionError, match="is an image, and text recognition"):
        convert_here(png(10, 10), ".png", "scan.png")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (png(20_000, 5_001), "20,000 × 5,001 pixels"),
        (png(60_000, 60_000), "too many pixels"),
        (png(100, 100), "cannot be read as an image"),
        (b"\x89PNG", "cannot be read as an image"),
        (b"", "cannot be read as an image"),
        (b"II*\0\x08\0\0\0\xff\xff", "cannot be read as an image"),
    ],
)
def test_damaged_and_large_images(data: bytes, message: str) -> None:
    with pytest.raises(ConversionError, match=message):
        convert_here(data, ".png", "scan.png", Recognition(5))


@pytest.mark.parametrize(
    ("pages", "words", "runs"),
    [
        ([3], "page 3", [(3, 3)]),
        ([1, 2], "pages 1, 2", [(1, 2)]),
        ([1, 2, 3, 7, 9, 10], "pages 1 to 3, 7, 9, 10", [(1, 3), (7, 7), (9, 10)]),
    ],
)
def test_page_numbers(pages: list[int], words: str, runs: list[tuple[int, int]]) -> None:
    assert (listed(pages), spans(pages)) == (words, runs)


@pytest.mark.usefixtures("with_packages")
def test_notes_say_which_pages_were_recognised() -> None:
    counts = PageCounts([1, 2, 3], [4], [5, 6])
    found = with_pages(Converted("text"), counts, 8, Recognition(4))
    assert found.notes == (
        "pages 1 to 3 of 8 read by text recognition (OCR), which may get a number wrong",
        "text recognition (OCR) found no text on page 4 of 8",
    )
    (unread,) = found.unread
    assert unread.startswith("pages 5, 6 of 8 not read: text recognition (OCR) reads at most 4 pages of a file")
    assert (found.recognised, found.variant) == ((1, 2, 3), variant(4))
    # A file without pictures is the same with and without text recognition.
    assert with_pages(Converted("text"), PageCounts(), 8, Recognition(4)) == Converted("text")


@pytest.mark.usefixtures("with_packages")
def test_documents_say_that_they_were_recognised(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(b"x")
    found = Converted("text", recognised=(1, 2, 4), variant=variant())
    (document,) = convert_bytes(b"x", path, tmp_path, lambda *_: found)
    assert document.metadata == {"ocr": True, "ocr_pages": [[1, 2], [4, 4]]}
    assert is_recognised(document.converter)
    (document,) = convert_bytes(b"x", path, tmp_path, lambda *_: Converted("text"))
    assert document.metadata == {}
    assert not is_recognised(document.converter)


def test_what_makes_a_document_stale(tmp_path: Path, with_packages: dict[str, str]) -> None:
    """A file is read again if its pictures would be read otherwise, and not if it has none."""
    (tmp_path / "a.pdf").write_bytes(b"x")
    found = Converted("text")
    stored: dict[str, StoredDocument] = {}
    unread: dict[str, tuple[str, ...]] = {}

    def is_read(mode: Recognition | None) -> bool:
        reader = FolderReader(
            tmp_path, walk_files(tmp_path), stored, SPLITTER, lambda *_: found, Limits(), lambda *_: None, unread, mode
        )
        for one in reader.documents():
            stored[one.id] = StoredDocument(one.id, one.source, one.source_digest, one.converter, SPLITTER)
        unread.clear()
        unread.update(reader.unread)
        return reader.unchanged == 0

    assert is_read(None)
    # Without pictures, the setting makes no difference.
    assert not is_read(Recognition(5))
    stored.clear()
    found = Converted("text", unread=("page 2 holds pictures",))
    assert is_read(None)
    assert not is_read(None)
    found = with_pages(Converted("text"), PageCounts([2]), 2, Recognition(5))
    assert is_read(Recognition(5))
    # With all pictures read, a higher limit finds nothing more.
    assert not is_read(Recognition(5))
    assert not is_read(Recognition(50))
    with_packages["rapidocr"] = "3.10.1"
    found = with_pages(Converted("text"), PageCounts([2], [], [3]), 3, Recognition(1))
    assert is_read(Recognition(1))
    assert not is_read(Recognition(1))
    found = with_pages(Converted("text"), PageCounts([2, 3]), 3, Recognition(2))
    assert is_read(Recognition(2))
    found = Converted("text", unread=("pages 2, 3 hold pictures",))
    assert is_read(None)
