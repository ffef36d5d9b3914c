"""Bad files in a docs folder: each one is reported with its own message, and affects no other file."""

from __future__ import annotations

import io
import os
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import docx
import numpy as np
import pytest
from fpdf import FPDF
from numpy.typing import NDArray

from retrieval import (
    ConversionError,
    Encoder,
    EncoderError,
    IndexMismatchError,
    IngestProgress,
    IngestReport,
    Limits,
    NoDocumentsError,
    convert_file,
    ingest,
    open_index,
)
from retrieval.conversion.convert import convert_here, read_bytes
from retrieval.ingestion.docs_folder import find_files

# Left out of `make check`.
pytestmark = pytest.mark.heavy

MIB = 2**20


@pytest.fixture
def ingested(docs: Path, index_dir: Path, encoder: Encoder) -> Callable[..., IngestReport]:
    """Ingest the three good documents once, and again after the test has added something bad."""
    ingest(docs, index_dir, encoder)
    return lambda **settings: ingest(docs, index_dir, encoder, **settings)


def refused(data: bytes, name: str) -> ConversionError:
    with pytest.raises(ConversionError) as caught:
        convert_here(data, Path(name).suffix, name)
    assert name in caught.value.found
    assert name in caught.value.next_step
    return caught.value


def docx_bytes() -> bytes:
    document, data = docx.Document(), io.BytesIO()
    document.add_paragraph("A good one.")
    document.save(data)
    return data.getvalue()


def archive(*entries: tuple[str, bytes], base: bytes = b"") -> bytes:
    data = io.BytesIO(base)
    with zipfile.ZipFile(data, "a", zipfile.ZIP_DEFLATED) as packed:
        for name, content in entries:
            packed.writestr(name, content)
    return data.getvalue()


def test_a_zip_bomb_is_refused_before_it_is_unpacked() -> None:
    zeros = bytes(65 * MIB)
    bomb = archive(("word/more.xml", zeros), base=docx_bytes())
    assert len(bomb) < MIB
    started = time.monotonic()
    assert refused(bomb, "bomb.docx").found == "bomb.docx unpacks to 66 MiB"
    assert time.monotonic() - started < 1


def test_pictures_may_be_larger_than_text() -> None:
    zeros = bytes(65 * MIB)
    assert convert_here(archive(("word/media/a.png", zeros), base=docx_bytes()), ".docx", "a.docx").text


def test_a_zip_bomb_with_a_false_size_is_refused() -> None:
    honest = archive(("word/more.xml", bytes(MIB)), base=docx_bytes())
    document = zipfile.ZipFile(io.BytesIO(honest)).getinfo("word/document.xml")
    size = document.file_size.to_bytes(4, "little")
    # The size is stored twice: before the entry and in the table of contents.
    lying = honest.replace(size, (10).to_bytes(4, "little"))
    assert lying.count(size) == 0
    assert "cannot be read as DOCX" in refused(lying, "lying.docx").found


def test_another_kind_of_archive_is_not_docx() -> None:
    error = refused(archive(("a.txt", b"x"), ("b.txt", b"y")), "other.docx")
    assert error.found == "other.docx is another kind of archive (it contains a.txt, b.txt)"
    sheet = archive(("[Content_Types].xml", b"<x/>"), ("xl/workbook.xml", b"<x/>"))
    assert "is another kind of archive" in refused(sheet, "sheet.docx").found
    assert "locked with a password, or in the format of Word before 2007" in (
        refused(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "old.docx").found
    )


def test_a_pdf_with_a_password() -> None:
    pdf = FPDF()
    pdf.add_page()
    pdf.set_encryption(owner_password="owner", user_password="secret")
    assert refused(bytes(pdf.output()), "locked.pdf").found == "locked.pdf is locked with a password"


def test_a_text_of_100_mib_is_refused_at_once(docs: Path, ingested: Callable[..., IngestReport]) -> None:
    with (docs / "big.txt").open("wb") as file:
        file.truncate(100 * MIB)
    started = time.monotonic()
    (failure,) = ingested().failed
    assert time.monotonic() - started < 2
    assert failure[1] == (
        "big.txt has 100.0 MiB. Expected: at most 64 MiB. "
        "Next: split big.txt, or raise `file_mib` under `ingest:` in domain.yaml"
    )


def test_size_limits_can_be_set_and_differ_for_rows(tmp_path: Path) -> None:
    for name in ("a.txt", "a.jsonl"):
        (tmp_path / name).write_bytes(b" " * (MIB + 1))
    limits = Limits(file_mib=1, rows_mib=2)
    with pytest.raises(ConversionError, match=r"a\.txt has 1\.0 MiB.*`file_mib`"):
        read_bytes(tmp_path / "a.txt", tmp_path, limits)
    assert len(read_bytes(tmp_path / "a.jsonl", tmp_path, limits)) == MIB + 1
    with pytest.raises(ConversionError, match=r"a\.jsonl has 1\.0 MiB.*`rows_mib`"):
        read_bytes(tmp_path / "a.jsonl", tmp_path, Limits(rows_mib=1))
    with pytest.raises(ValueError, match="seconds is 0"):
        Limits(seconds=0)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (bytes(range(256)) * 4, "binary.md contains binary data (a zero byte at offset 0)"),
        (b"\x89PNG\r\n\x1a\n", "binary.md is not UTF-8 (byte 0x89 at offset 0)"),
        ("Gebühr".encode("latin-1"), "binary.md is not UTF-8 (byte 0xfc at offset 3)"),
        (b"cut \xe5\xb9", "binary.md is not UTF-8 (byte 0xe5 at offset 4)"),
    ],
)
def test_files_that_are_not_text(data: bytes, message: str) -> None:
    assert refused(data, "binary.md").found == message


def test_circular_links_are_reported_and_not_followed(docs: Path, ingested: Callable[..., IngestReport]) -> None:
    (docs / "cards" / "up").symlink_to("..")
    (docs / "here").symlink_to(".")
    (docs / "above").symlink_to("../..")
    (docs / "itself.md").symlink_to("itself.md")
    (docs / "ring").symlink_to("gnir")
    (docs / "gnir").symlink_to("ring")
    (docs / "nothing.md").symlink_to("nowhere.md")
    report = ingested(follow_links=True)
    assert (report.unchanged, report.added, report.removed) == (3, 0, 0)
    messages = dict(report.failed)
    assert messages.keys() == {"cards/up", "here", "above", "itself.md", "ring", "gnir", "nothing.md"}
    for name in ("cards/up", "here", "above"):
        assert messages[name].startswith(f"{name} leads to a folder that is read already, or that contains this one. ")
    for name in ("itself.md", "ring", "gnir"):
        assert messages[name].startswith(f"{name} is a circular link. ")
    assert messages["nothing.md"].startswith("nothing.md is a broken link. ")


def test_a_link_to_an_outside_folder_is_followed_once(
    docs: Path, tmp_path: Path, ingested: Callable[..., IngestReport]
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "more.md").write_text("More.")
    (elsewhere / "back").symlink_to(docs)
    (docs / "one").symlink_to(elsewhere)
    (docs / "two").symlink_to(elsewhere)
    report = ingested(follow_links=True)
    assert (report.added, report.unchanged) == (1, 3)
    assert sorted(name for name, _ in report.failed) == ["one/back", "two"]
    # A link that is broken for a while keeps its documents.
    elsewhere.rename(tmp_path / "away")
    assert ingested(follow_links=True).removed == 0


def test_a_file_that_vanishes_while_being_read(docs: Path, index_dir: Path, encoder: Encoder) -> None:
    ingest(docs, index_dir, encoder)

    def take_away(progress: IngestProgress) -> None:
        if progress.source == "disputes.md":
            (docs / "disputes.md").unlink()

    report = ingest(docs, index_dir, encoder, progress=take_away)
    (failure,) = report.failed
    assert failure[1].startswith("disputes.md cannot be read (No such file or directory). ")
    # The file may come back; the next ingest detects that.
    assert (report.removed, ingest(docs, index_dir, encoder).removed) == (0, 1)


@contextmanager
def an_ordinary_user() -> Iterator[Path]:
    """A folder, and a process without the capabilities that let the superuser ignore permissions."""
    with tempfile.TemporaryDirectory() as folder:
        root = hasattr(os, "geteuid") and os.geteuid() == 0
        if root:
            os.chown(folder, 65534, 65534)
            os.seteuid(65534)
        try:
            yield Path(folder)
        finally:
            if root:
                os.seteuid(0)


def test_files_and_folders_without_permission() -> None:
    with an_ordinary_user() as docs:
        (docs / "closed").mkdir()
        for name in ("open.md", "locked.md", "closed/a.md"):
            (docs / name).write_text("text")
        (docs / "locked.md").chmod(0)
        (docs / "closed").chmod(0)
        try:
            results = find_files(docs)
            assert [path.name for path in results.files] == ["locked.md", "open.md"]
            ((name, why),) = results.failed
            assert (name, why.split(". ")[0]) == ("closed", "closed cannot be read (Permission denied)")
            with pytest.raises(ConversionError, match=r"locked\.md cannot be read \(Permission denied\)"):
                read_bytes(docs / "locked.md", docs)
        finally:
            (docs / "closed").chmod(0o700)


def test_a_folder_that_cannot_be_read_keeps_its_documents(
    docs: Path, ingested: Callable[..., IngestReport], tmp_path: Path
) -> None:
    (docs / "cards").rename(tmp_path / "cards")
    (docs / "cards").symlink_to(tmp_path / "cards")
    assert ingested(follow_links=True).unchanged == 3
    (tmp_path / "cards").rename(tmp_path / "unmounted")
    report = ingested(follow_links=True)
    assert [name for name, _ in report.failed] == ["cards"]
    assert (report.removed, report.unchanged) == (0, 2)


def test_names_that_are_not_utf8(docs: Path, ingested: Callable[..., IngestReport]) -> None:
    folder = os.fsencode(docs)
    Path(os.fsdecode(folder + b"/caf\xe9.md")).write_text("text")
    Path(os.fsdecode(folder + b"/caf\xe9.png")).write_text("text")
    Path(os.fsdecode(folder + b"/f\xfcr")).mkdir()
    Path(os.fsdecode(folder + b"/f\xfcr/a.md")).write_text("text")
    report = ingested()
    assert (report.unchanged, report.added) == (3, 0)
    assert [name for name, _ in report.failed] == ["f\\xfcr", "caf\\xe9.md", "caf\\xe9.png"]
    assert all("has a name that is not UTF-8" in why for _, why in report.failed)
    str(report).encode()


def test_deeply_nested_html_stays_small() -> None:
    # Each list is nested one level deeper: with full indentation, 100 kB would become 25 MB.
    text = convert_here(b"<ul><li>x" * 5000, ".html", "lists.html").text
    assert text.count("x") == 5000
    assert len(text) < 150_000
    assert convert_here(b"<table><tr><td>x" * 5000, ".html", "tables.html").text.count("x") == 5000


def test_an_encoder_of_another_dimension(
    docs: Path, index_dir: Path, encoder: Encoder, ingested: Callable[..., IngestReport]
) -> None:
    wider = type(encoder)(dimension=encoder.dimension * 2)
    wider.id = encoder.id
    with pytest.raises(IndexMismatchError, match=r"\(dimension 64\)\. Expected: .*\(dimension 128\)"):
        ingest(docs, index_dir, wider)
    with open_index(index_dir, encoder) as index:
        assert index.counts()[0] == 3


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda rows: rows[:, :32], r"vectors of the shape \(6, 32\)\. Expected: 6 finite vectors of dimension 64"),
        (lambda rows: rows[1:], r"vectors of the shape \(5, 64\)"),
        (lambda rows: rows * np.nan, "returned 6 vectors that are not finite"),
    ],
)
def test_invalid_vectors_are_refused(
    docs: Path,
    index_dir: Path,
    encoder: Encoder,
    wrong: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    message: str,
) -> None:
    class Wrong(type(encoder)):  # type: ignore[misc]
        def encode(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> NDArray[np.float32]:
            return wrong(super().encode(texts, progress))

    with pytest.raises(EncoderError, match=message):
        ingest(docs, index_dir, Wrong())


def test_a_folder_of_bad_files_does_not_change_the_index(
    tmp_path: Path, index_dir: Path, encoder: Encoder, ingested: Callable[..., IngestReport]
) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "round.md").symlink_to("round.md")
    with pytest.raises(NoDocumentsError, match=r"round\.md is a circular link"):
        ingest(bad, index_dir, encoder)
    assert ingested().unchanged == 3


def test_a_bad_csv_is_reported_and_good_files_are_indexed(docs: Path, ingested: Callable[..., IngestReport]) -> None:
    (docs / "broken.csv").write_text('a,b\n1,"2\n')
    ((name, why),) = ingested().failed
    assert name == "broken.csv"
    assert why.startswith("broken.csv, line 2: a quotation mark does not close properly")
    with pytest.raises(ConversionError):
        convert_file(docs / "broken.csv", docs)
