"""A document with too much text or too many lines is refused by name, and the others are ingested."""

from __future__ import annotations

import csv
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


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_a_row_with_too_much_text_is_left_out_alone(tmp_path: Path, suffix: str) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    write_rows(docs / f"rows{suffix}", {"small": "A text.", "large": "word " * 300_000, "last": "Another text."})
    for _ in range(2):
        report = ingest(docs, tmp_path / "index", HashingEncoder(dimension=16), limits=Limits(file_mib=1))
        assert report.failed == ()
        assert report.unread == (f"rows{suffix}",)
        [message] = [note for _, note in report.notes if "contains" in note]
        assert f"rows{suffix}, document 'large' contains 1.4 MiB of text. Expected: at most 1 MiB." in message
        with PassageStore.open(tmp_path / "index" / "index.sqlite") as store:
            assert sorted(store.document_ids()) == ["last", "small"]


def test_what_the_index_has_of_a_row_is_kept_when_it_grows_too_large(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    for text in ("A short text.", "word " * 300_000):
        write_rows(docs / "rows.jsonl", {"small": "A text.", "large": text})
        ingest(docs, tmp_path / "index", HashingEncoder(dimension=16), limits=Limits(file_mib=1))
    with PassageStore.open(tmp_path / "index" / "index.sqlite") as store:
        assert sorted(store.document_ids()) == ["large", "small"]


def test_many_rows_with_too_much_text_are_counted(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    write_rows(docs / "rows.jsonl", {"small": "A text.", **{f"large{n}": "line\n" * 300 for n in range(8)}})
    report = ingest(docs, tmp_path / "index", HashingEncoder(dimension=16), limits=Limits(lines=200))
    notes = [note for _, note in report.notes if "rows" in note]
    assert sum("contains 301 lines" in note for note in notes) == 5
    assert notes[-1] == "and 3 more such rows"


def test_a_file_of_rows_that_are_all_too_large_fails(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    write_rows(docs / "rows.jsonl", {"large": "word " * 300_000})
    (docs / "short.md").write_text("A text.", "utf-8")
    report = ingest(docs, tmp_path / "index", HashingEncoder(dimension=16), limits=Limits(file_mib=1))
    [(name, message)] = report.failed
    assert name == "rows.jsonl"
    assert "document 'large' contains 1.4 MiB of text" in message
    assert report.added == 1


def write_rows(path: Path, texts: dict[str, str]) -> None:
    rows = [{"id": id_, "text": text} for id_, text in texts.items()]
    if path.suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["id", "text"])
        writer.writeheader()
        writer.writerows(rows)
