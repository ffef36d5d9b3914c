"""A process for the campaigns, and where they write."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest


@pytest.fixture(scope="module")
def campaign_process() -> Iterator[Executor]:
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
