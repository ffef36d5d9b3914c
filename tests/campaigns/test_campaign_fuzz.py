"""Parsers of foreign bytes read changed files, and end with a document or an error of ours, within seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from campaign_fuzz import changed, other_readers, read_document, seeds
from hypothesis import HealthCheck, Phase, given, settings

pytestmark = [pytest.mark.slow, pytest.mark.bench]

# PDFium may end its process, so an ingest gives it a process of its own, which other tests damage.
DOCUMENTS = (
    *(".adoc", ".csv", ".docx", ".eml", ".epub", ".html", ".ipynb", ".jsonl", ".md", ".mdx", ".odt", ".pptx", ".py"),
    *(".rst", ".srt", ".tsv", ".txt", ".vtt", ".xlsx"),
)
CORPUS = Path(__file__).parent / "corpus"
SECONDS = 20


@pytest.mark.parametrize("suffix", DOCUMENTS)
def test_changed_documents(
    suffix: str, tmp_path: Path, full: bool, record_property: Callable[[str, object], None]
) -> None:
    _fuzz(suffix, read_document(suffix), seeds()[suffix], tmp_path, full, record_property)


@pytest.mark.parametrize("name", sorted(other_readers()))
def test_changed_files(name: str, tmp_path: Path, full: bool, record_property: Callable[[str, object], None]) -> None:
    read, files = other_readers()[name]
    _fuzz(name, read, files, tmp_path, full, record_property)


@pytest.mark.parametrize("file", sorted(CORPUS.iterdir()) if CORPUS.is_dir() else [], ids=lambda file: file.name)
def test_files_that_once_failed(file: Path, tmp_path: Path) -> None:
    name = file.name.split("-")[0]
    read = other_readers()[name][0] if name in other_readers() else read_document(f".{name}")
    began = time.monotonic()
    read(file.read_bytes(), tmp_path)
    assert time.monotonic() - began < SECONDS


def _fuzz(
    name: str,
    read: Callable[[bytes, Path], None],
    files: tuple[bytes, ...],
    folder: Path,
    full: bool,
    record_property: Callable[[str, object], None],
) -> None:
    tried, slowest = 0, 0.0

    @settings(
        max_examples=1000 if full else 60,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(data=changed(files))
    def check(data: bytes) -> None:
        nonlocal tried, slowest
        tried += 1
        began = time.monotonic()
        try:
            read(data, folder)
        except BaseException:
            (folder / f"{name.strip('.')}-failed").write_bytes(data)
            raise
        seconds = time.monotonic() - began
        slowest = max(slowest, seconds)
        assert seconds < SECONDS, f"{seconds:.0f} s for {len(data)} bytes"

    check()
    record_property("campaign", f"{name}: {tried} changed files, the slowest took {slowest:.2f} s")
