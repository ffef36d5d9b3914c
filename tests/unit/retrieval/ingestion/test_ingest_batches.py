"""Batches of passages: nothing is embedded twice, nothing is lost on interruption, and a plan matches the ingest."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from retrieval import Encoder, IngestProgress, NoDocumentsError, ingest, open_index, plan_ingest

# Left out of `make check`.
pytestmark = pytest.mark.heavy

TOGETHER = 16
MANY = 3 * TOGETHER


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retrieval.ingestion.batch_writer._PASSAGES_PER_BATCH", TOGETHER)


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """One document per row, each one passage, for more than two batches; every tenth text is the same."""
    folder = tmp_path / "many"
    folder.mkdir()
    rows = (f"{number},fees,{'The same.' if number % 10 == 0 else f'Row {number}.'}" for number in range(MANY))
    (folder / "rows.csv").write_text("id,title,text\n" + "\n".join(rows))
    return folder


def test_the_same_text_is_embedded_once_over_all_batches(many: Path, index_dir: Path, encoder: Encoder) -> None:
    report = ingest(many, index_dir, encoder)
    different = MANY - -(-MANY // 10) + 1
    assert (report.added, report.passages, report.embedded) == (MANY, MANY, different)
    assert len(encoder.encoded) == len(set(encoder.encoded)) == different
    with open_index(index_dir, encoder) as index:
        # From the batch in which a shared vector was still being encoded.
        assert index.search("Row 31.", 1)[0].passage.doc_id == "31"


def test_reading_continues_while_the_encoder_runs(many: Path, index_dir: Path, encoder: Encoder) -> None:
    threads: dict[str, set[int]] = {}

    def seen(progress: IngestProgress) -> None:
        threads.setdefault(progress.stage, set()).add(threading.get_ident())

    ingest(many, index_dir, encoder, progress=seen)
    assert threads["reading"] == {threading.get_ident()}
    assert threads["reading"].isdisjoint(threads["embedding"])


def test_progress_counts_documents(many: Path, index_dir: Path, encoder: Encoder) -> None:
    seen: list[IngestProgress] = []
    report = ingest(many, index_dir, encoder, progress=seen.append)
    counts = [progress.documents for progress in seen]
    assert counts == sorted(counts)
    assert any(0 < count < MANY for count in counts)
    assert counts[-1] == MANY
    assert report.documents_per_second == pytest.approx(MANY / report.seconds)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_ingest_continues_where_it_stopped(
    many: Path, index_dir: Path, encoder: Encoder, error: type[BaseException]
) -> None:
    def end(progress: IngestProgress) -> None:
        if progress.stage == "embedding" and progress.documents >= TOGETHER:
            raise error

    with pytest.raises(error):
        ingest(many, index_dir, encoder, progress=end)
    embedded = len(encoder.encoded)
    report = ingest(many, index_dir, encoder)
    assert report.unchanged >= TOGETHER
    assert report.added + report.unchanged == MANY
    assert 0 < report.embedded < MANY
    assert embedded > 0
    assert not any(thread.name.startswith("encoder") for thread in threading.enumerate())


def everything_below(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def change(docs: Path) -> None:
    fees = docs / "cards" / "fees.md"
    fees.write_text(fees.read_text(encoding="utf-8").replace("12 euros", "15 euros"), encoding="utf-8")
    (docs / "zh.txt").unlink()
    (docs / "new.md").write_text("# New\n\nA new one.")
    (docs / "bad.md").write_bytes(b"\x00")
    (docs / "image.png").write_bytes(b"png")


@pytest.mark.parametrize("before", ["nothing", "an index"])
def test_a_plan_says_what_the_ingest_does_and_writes_nothing(
    docs: Path, index_dir: Path, encoder: Encoder, before: str
) -> None:
    if before == "an index":
        ingest(docs, index_dir, encoder)
    change(docs)
    kept = everything_below(index_dir)
    encoder.encoded.clear()
    plan = plan_ingest(docs, index_dir, encoder)
    assert encoder.encoded == []
    assert everything_below(index_dir) == kept
    assert index_dir.exists() == (before == "an index")
    report = ingest(docs, index_dir, encoder)
    assert replace(plan, seconds=0.0) == replace(report, seconds=0.0)
    results = (report.added, report.changed, report.unchanged, report.removed)
    assert results == ((3, 0, 0, 0) if before == "nothing" else (1, 1, 1, 1))
    again = plan_ingest(docs, index_dir, encoder)
    assert (again.added, again.changed, again.removed, again.embedded) == (0, 0, 0, 0)


def test_a_plan_for_a_folder_without_documents_is_refused(tmp_path: Path, index_dir: Path, encoder: Encoder) -> None:
    with pytest.raises(NoDocumentsError, match="there is no folder"):
        plan_ingest(tmp_path / "none", index_dir, encoder)


def test_a_renamed_file_with_its_own_title_is_not_embedded_again(docs: Path, index_dir: Path, encoder: Encoder) -> None:
    ingest(docs, index_dir, encoder)
    encoder.encoded.clear()
    (docs / "disputes.md").rename(docs / "cards" / "complaints.md")
    report = ingest(docs, index_dir, encoder)
    assert (report.added, report.removed, report.unchanged, report.embedded) == (1, 1, 2, 0)
    assert encoder.encoded == []
    with open_index(index_dir, encoder) as index:
        assert index.document_ids() == ["cards/complaints", "cards/fees", "zh"]
        assert index.search("dispute a card payment", 1)[0].passage.doc_id == "cards/complaints"
