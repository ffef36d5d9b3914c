"""Every command that writes, killed and refused: nothing is lost, torn or left behind, without a traceback."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from campaign_faults import Verdict, kill_campaign, refusal_campaign, summary
from campaign_workplace import COMMANDS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def worker() -> Iterator[Executor]:
    """A single-threaded process, so that it can be forked."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            patch.setenv(name, "1")
        patch.setenv("TOKENIZERS_PARALLELISM", "false")
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            yield pool


@pytest.fixture(scope="module")
def base() -> Iterator[Path]:
    """In memory if possible: a kill does not lose written data on any file system."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(prefix="softgraft-", dir=memory if os.access(memory, os.W_OK) else None) as name:
        yield Path(name)


Record = Callable[[str, object], None]


def judge(name: str, verdicts: list[Verdict], record_property: Record) -> None:
    """Tell what was tried, and fail for each case with a problem."""
    record_property("campaign", f"{name}: {summary(verdicts)}")
    assert [verdict for verdict in verdicts if verdict.problems] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_killed(worker: Executor, base: Path, command: str, full: bool, record_property: Record) -> None:
    kills = 100 if full else 4
    verdicts = worker.submit(kill_campaign, base, command, kills).result()
    judge(f"{command} killed", verdicts, record_property)
    assert len(verdicts) == kills
    # The others had ended before their moment.
    assert sum(verdict.ended == "SIGKILL" for verdict in verdicts) >= kills // 2


@pytest.mark.parametrize("command", COMMANDS)
def test_refused(worker: Executor, base: Path, command: str, full: bool, record_property: Record) -> None:
    count = 50 if full else 4
    verdicts = worker.submit(refusal_campaign, base, command, count).result()
    judge(f"{command} without space or permission", verdicts, record_property)
    assert len(verdicts) == count
