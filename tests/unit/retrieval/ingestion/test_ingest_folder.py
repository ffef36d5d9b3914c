"""An ingest processes only changed documents, and a bad file does not stop it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from retrieval import (
    Encoder,
    EncoderError,
    IndexDamagedError,
    IndexMismatchError,
    IngestProgress,
    NoDocumentsError,
    NotIngestedError,
    PassageStore,
    ingest,
    open_index,
)

# Left out of `make check`.
pytestmark = pytest.mark.heavy


def test_everything_is_indexed(docs: Path, index_dir: Path, encoder: Encoder) -> None:
    seen: list[IngestProgress] = []
    report = ingest(docs, index_dir, encoder, progress=seen.append)
    assert (report.added, report.changed, report.unchanged, report.removed) == (3, 0, 0, 0)
    assert report.passages == report.embedded == 6
    assert report.failed == report.skipped == ()
    assert {one.stage for one in seen} == {"reading", "embedding", "indexing"}
    with open_index(index_dir, encoder) as index:
        assert index.counts() == (3, 6)
        assert index.document_ids() == ["cards/fees", "disputes", "zh"]
        assert len(list(index.passages())) == 6
        for passage in index.passages():
            assert index.document(passage.doc_id).text[passage.start : passage.end] == passage.text


def test_nothing_is_embedded_twice(docs: Path, index_dir: Path, encoder: Encoder) -> None:
    ingest(docs, index_dir, encoder)
    encoder.encoded.clear()
    report = ingest(docs, index_dir, encoder)
    assert (report.added, report.changed, report.unchanged, report.embedded) == (0, 0, 3, 0)
    assert encoder.encoded == []


def test_an_edit_embeds_only_what_it_changed(docs: Path, index_dir: Path, encoder: Encoder) -> None:
    ingest(docs, index_dir, encoder)
    path = docs / "cards" / "fees.md"
    path.write_text(path.read_text(encoding="utf-8").replace("12 euros", "15 euros"), encoding="utf-8")
    encoder.encoded.clear()
    report = ingest(docs, index_dir, encoder)
    assert (report.added, report.changed, report.unchanged, report.embedded) == (0, 1, 2, 1)
    assert encoder.encoded == ["Card fees\nReplacement\nA replacement card costs 15 euros."]
    with open_index(index_dir, encoder) as index:
        texts = [results.passage.text for results in index.search("replacement card euros", 10)]
    assert "A replacement card costs 15 euros." in texts
    assert not any("12 euros" in text for text in texts)


def test_other_settings_split_again(docs: Path, index_dir: Path, encoder: Encoder) -> None:
    ingest(docs, index_dir, encoder)
    report = ingest(docs, index_dir, encoder, max_tokens=16)
    assert report.changed == 3


def test_removed_and_renamed_files(docs: Path, index_dir: Path, encoder: Encoder) -> None:
    ingest(docs, index_dir, encoder)
    (docs / "disputes.md").unlink()
    (docs / "zh.txt").rename(docs / "fees-zh.txt")
    report = ingest(docs, index_dir, encoder)
    # The title of a text file is its name, so a renamed file is embedded again.
    assert (report.added, report.removed, report.unchanged, report.embedded) == (1, 2, 1, 1)
    (docs / "cards" / "fees.md").rename(docs / "fees.md")
    report = ingest(docs, index_dir, encoder)
    assert (report.added, report.removed, report.embedded) == (1, 1, 0)
    with open_index(index_dir, encoder) as index:
        assert index.document_ids() == ["fees", "fees-zh"]
        assert not any("dispute" in results.passage.text for results in index.search("dispute a payment", 10))


def test_a_changed_row_does_not_change_the_others(docs: Path, index_dir: Path, encoder: Encoder) -> None:
    rows = [{"id": f"r{number}", "text": f"Row number {number}."} for number in range(4)]
    path = docs / "docs.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    ingest(docs, index_dir, encoder)
    rows[2]["text"] = "Another text."
    path.write_text("\n".join(map(json.dumps, rows[1:])), encoding="utf-8")
    report = ingest(docs, index_dir, encoder)
    assert (report.changed, report.removed, report.unchanged, report.embedded) == (1, 1, 5, 1)


def test_one_bad_file_is_reported_and_its_documents_are_kept(docs: Path, index_dir: Path, encoder: Encoder) -> None:
    ingest(docs, index_dir, encoder)
    (docs / "disputes.md").write_bytes(b"\x00\x01")
    (docs / "new.pdf").write_bytes(b"%PDF broken")
    (docs / "image.png").write_bytes(b"png")
    (docs / ".hidden.md").write_text("hidden", encoding="utf-8")
    (docs / "good.md").write_text("A good one.", encoding="utf-8")
    report = ingest(docs, index_dir, encoder)
    assert [name for name, _ in report.failed] == ["disputes.md", "new.pdf"]
    assert "contains binary data" in report.failed[0][1]
    assert report.skipped == ("image.png",)
    assert (report.added, report.removed) == (1, 0)
    with open_index(index_dir, encoder) as index:
        assert "disputes" in index.document_ids()


def test_a_duplicate_id_is_reported(docs: Path, index_dir: Path, encoder: Encoder) -> None:
    (docs / "rows.jsonl").write_text('{"id": "disputes", "text": "Other."}', encoding="utf-8")
    report = ingest(docs, index_dir, encoder)
    assert report.added == 3
    assert (
        "rows.jsonl contains a document with the id 'disputes', which disputes.md already uses" in report.failed[0][1]
    )


def test_a_folder_without_documents_does_not_change_the_index(
    docs: Path, index_dir: Path, encoder: Encoder, tmp_path: Path
) -> None:
    ingest(docs, index_dir, encoder)
    empty = tmp_path / "empty"
    with pytest.raises(NoDocumentsError, match="there is no folder"):
        ingest(empty, index_dir, encoder)
    empty.mkdir()
    with pytest.raises(NoDocumentsError, match="there is no document"):
        ingest(empty, index_dir, encoder)
    (empty / "broken.pdf").write_bytes(b"%PDF broken")
    with pytest.raises(NoDocumentsError, match=r"broken\.pdf cannot be read as PDF"):
        ingest(empty, index_dir, encoder)
    with open_index(index_dir, encoder) as index:
        assert index.counts()[0] == 3


def test_an_index_of_another_encoder_is_refused(
    docs: Path, index_dir: Path, encoder: Encoder, other_encoder: Encoder
) -> None:
    ingest(docs, index_dir, encoder)
    for attempt in (lambda: ingest(docs, index_dir, other_encoder), lambda: open_index(index_dir, other_encoder)):
        with pytest.raises(IndexMismatchError) as caught:
            attempt()
        assert caught.value.next_step == f"delete the folder {index_dir} and run: softgraft ingest DOMAIN"


def test_no_index_yet(docs: Path, index_dir: Path, encoder: Encoder) -> None:
    with pytest.raises(NotIngestedError, match="softgraft ingest DOMAIN"):
        open_index(index_dir, encoder)
    (docs / "broken").mkdir()
    (docs / "broken" / "a.pdf").write_bytes(b"%PDF")
    with pytest.raises(NoDocumentsError):
        ingest(docs / "broken", index_dir, encoder)
    with pytest.raises(NotIngestedError, match="is empty"):
        open_index(index_dir, encoder)


def test_a_file_that_is_not_a_database_is_refused(docs: Path, index_dir: Path, encoder: Encoder) -> None:
    index_dir.mkdir(parents=True)
    (index_dir / "index.sqlite").write_bytes(b"not a database, and long enough to be looked at" * 100)
    with pytest.raises(IndexDamagedError, match=r"index\.sqlite is damaged"):
        ingest(docs, index_dir, encoder)


def test_passages_beyond_the_window_are_refused(docs: Path, index_dir: Path, encoder: Encoder) -> None:
    with pytest.raises(EncoderError, match="at most 128, the encoder's window"):
        ingest(docs, index_dir, encoder, max_tokens=129)


def test_an_open_index_detects_a_rebuild_with_another_encoder(docs: Path, index_dir: Path, encoder: Encoder) -> None:
    ingest(docs, index_dir, encoder)
    longer = type(encoder)("longer", 96)  # type: ignore[call-arg]
    with open_index(index_dir, encoder) as index:
        assert index.search("card")
        with PassageStore.open(index_dir / "index.sqlite") as store:
            store.delete_documents(None, "documents")
        ingest(docs, index_dir, longer)
        with pytest.raises(IndexMismatchError, match="longer"):
            index.search("card")
