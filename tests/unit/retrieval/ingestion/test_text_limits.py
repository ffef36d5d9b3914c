"""A document with too much text or too many lines is refused by name, and the others are ingested."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from retrieval import Limits, PassageStore, ingest
from tests.support.hashing_encoder import HashingEncoder


@pytest.mark.parametrize("suffix", [".md", ".txt", ".html"])
def test_a_file_with_too_many_lines_is_left_out(tmp_path: Path, suffix: str) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / f"long{suffix}").write_text("<p>line</p>\n" * 300, "utf-8")
    (docs / "short.md").write_text("A text.", "utf-8")
    report = ingest(docs, tmp_path / "index", HashingEncoder(dimension=16), limits=Limits(lines=200))
    [(name, message)] = report.failed
    assert name == f"long{suffix}"
    assert f"long{suffix} contains " in message
    assert "at most 200 lines" in message
    assert "raise `lines` under `ingest:` in domain.yaml" in message
    with PassageStore.open(tmp_path / "index" / "index.sqlite") as store:
        assert store.document_ids() == ["short"]


def test_a_row_with_too_much_text_is_left_out_with_its_file(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    rows = [{"id": "small", "text": "A text."}, {"id": "large", "text": "word " * 300_000}]
    (docs / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    (docs / "short.md").write_text("A text.", "utf-8")
    report = ingest(docs, tmp_path / "index", HashingEncoder(dimension=16), limits=Limits(file_mib=1))
    [(name, message)] = report.failed
    assert name == "rows.jsonl"
    assert "rows.jsonl, document 'large' contains 1.4 MiB of text. Expected: at most 1 MiB." in message
    assert report.added == 1
