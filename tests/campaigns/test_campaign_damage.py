"""Every kind of file of a domain, damaged: the commands refuse or say the same as before, without a traceback."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

import pytest
from campaign_damage import damage_campaign
from campaign_faults import summary

pytestmark = pytest.mark.slow


def test_damaged_files(
    campaign_process: Executor, base: Path, full: bool, record_property: Callable[[str, object], None]
) -> None:
    count = 1000 if full else 40
    verdicts, tried = campaign_process.submit(damage_campaign, base, count).result()
    kinds = ", ".join(f"{kind} {number}" for kind, number in sorted(tried.items()))
    record_property("campaign", f"damaged files: {summary(verdicts)} ({kinds})")
    assert [verdict for verdict in verdicts if verdict.problems] == []
    assert len(verdicts) == count
    # Conversations, index, soft prompt, caches, logs and settings.
    assert len(tried) >= 10
