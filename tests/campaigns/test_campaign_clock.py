"""Clocks that jump: no turn is lost."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

import pytest
from campaign_clock import clock_campaign
from campaign_faults import summary

pytestmark = pytest.mark.slow


def test_clocks_that_jump(
    campaign_process: Executor, base: Path, full: bool, record_property: Callable[[str, object], None]
) -> None:
    turns = 60 if full else 8
    verdicts = campaign_process.submit(clock_campaign, base, turns).result()
    record_property("campaign", f"clocks: {summary(verdicts)}")
    assert [verdict for verdict in verdicts if verdict.problems] == []
    assert {verdict.ended for verdict in verdicts} == {"exit code 0"}
