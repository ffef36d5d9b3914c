"""Hostile text in every field: nothing of it reaches a terminal, a page or a database as more than text."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

import pytest
from campaign_faults import summary
from campaign_hostile import hostile_campaign

pytestmark = pytest.mark.slow


def test_hostile_texts(
    campaign_process: Executor, base: Path, full: bool, record_property: Callable[[str, object], None]
) -> None:
    count = 500 if full else 50
    verdicts = campaign_process.submit(hostile_campaign, base, count, models=full).result()
    record_property(
        "campaign", f"{count} hostile texts in documents, names, questions and threads: {summary(verdicts)}"
    )
    assert [verdict for verdict in verdicts if verdict.problems] == []
