"""Crashes and damage: an index keeps everything committed, and never returns wrong data."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from crash_campaign import COUNTED, full_campaign, kill_campaign
from crash_judge import damage_campaign
from crash_readers import reading_campaign

SCENARIOS = 2


@pytest.fixture(scope="module")
def worker() -> Iterator[Executor]:
    """A single-threaded process without torch, so that forks are cheap and safe."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            patch.setenv(name, "1")
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            assert pool.submit(os.getpid).result() != os.getpid()
            yield pool


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory if possible: a kill does not lose written data on any file system."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with TemporaryDirectory(prefix="softgraft-", dir=memory) as name:
        yield Path(name)


def test_a_killed_ingest_loses_nothing_that_it_committed(worker: Executor, folder: Path, full: bool) -> None:
    kills = 300 if full else 20
    each = kills // SCENARIOS // (len(COUNTED) + 1)
    verdicts = worker.submit(kill_campaign, folder, each, each).result()
    assert len(verdicts) == kills
    assert {verdict.ended for verdict in verdicts} == {"SIGKILL"}
    assert [verdict for verdict in verdicts if verdict.problems] == []
    # Early, late and in the middle of the run.
    assert len({verdict.committed for verdict in verdicts}) >= (12 if full else 3)


def test_without_transactions_the_check_detects_half_written_documents(
    worker: Executor, folder: Path, full: bool
) -> None:
    each = 5 if full else 2
    verdicts = worker.submit(kill_campaign, folder, 0, each, transactions=False).result()
    assert len(verdicts) == each * len(COUNTED) * SCENARIOS
    half = [verdict for verdict in verdicts if any(problem.startswith("half: ") for problem in verdict.problems)]
    assert len(half) >= len(verdicts) // 4


def test_a_full_disk_leaves_the_old_state(worker: Executor, folder: Path, full: bool) -> None:
    runs = 120 if full else 12
    each = runs // SCENARIOS * 2 // 3
    verdicts = worker.submit(full_campaign, folder, each).result()
    assert len(verdicts) == runs
    assert [verdict for verdict in verdicts if verdict.problems] == []
    refused = [verdict for verdict in verdicts if verdict.ended.startswith("refused: ")]
    assert all("free some disk space" in verdict.ended for verdict in refused)
    # The others filled the disk when nothing had to be written any more.
    assert len(refused) >= runs * 3 // 4
    assert {verdict.ended for verdict in verdicts if verdict not in refused} <= {"exited"}


def test_a_damaged_index_never_returns_wrong_data(worker: Executor, folder: Path, full: bool) -> None:
    faiss_damages, database_damages = (1_600, 400) if full else (80, 20)
    results = worker.submit(damage_campaign, folder, faiss_damages, database_damages).result()
    assert len(results) == faiss_damages + database_damages
    bad = [result for result in results if result.outcome not in ("right", "refused", "incomplete")]
    assert bad == []
    faiss = Counter(result.outcome for result in results if result.damage.startswith("FAISS"))
    database = Counter(result.outcome for result in results if result.damage.startswith("database"))
    assert (faiss.total(), database.total()) == (faiss_damages, database_damages)
    # The FAISS file can be rebuilt, so an error is rarely necessary.
    assert faiss["right"] >= 0.95 * faiss_damages
    assert faiss["incomplete"] == 0
    # A flipped bit in one of SQLite's own indexes may hide a row; only reading the whole file would reveal it.
    assert database["incomplete"] <= 0.01 * database_damages
    assert database["refused"] >= database_damages // 4
    assert all("Next: " in result.detail for result in results if result.outcome == "refused")


def test_two_processes_read_while_one_writes(worker: Executor, folder: Path) -> None:
    reads = worker.submit(reading_campaign, folder, 30).result()
    assert len(reads) == 2
    for read in reads:
        assert read.problems == []
        assert read.searches >= 20
        assert read.during >= 10
        assert len(read.revisions) >= 10
