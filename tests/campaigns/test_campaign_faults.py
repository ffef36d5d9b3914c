"""Every command that writes, killed and refused: nothing is lost, torn or left behind, without a traceback."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

import pytest
from campaign_faults import Verdict, kill_campaign, refusal_campaign, summary
from campaign_workplace import COMMANDS

pytestmark = pytest.mark.slow


Record = Callable[[str, object], None]


def judge(name: str, verdicts: list[Verdict], record_property: Record) -> None:
    """Tell what was tried, and fail for each case with a problem."""
    record_property("campaign", f"{name}: {summary(verdicts)}")
    assert [verdict for verdict in verdicts if verdict.problems] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_killed(campaign_process: Executor, base: Path, command: str, full: bool, record_property: Record) -> None:
    kills = 100 if full else 4
    verdicts = campaign_process.submit(kill_campaign, base, command, kills).result()
    judge(f"{command} killed", verdicts, record_property)
    assert len(verdicts) == kills
    # The others had ended before their moment.
    assert sum(verdict.ended == "SIGKILL" for verdict in verdicts) >= kills // 2


@pytest.mark.parametrize("command", COMMANDS)
def test_refused(campaign_process: Executor, base: Path, command: str, full: bool, record_property: Record) -> None:
    count = 40 if full else 4
    verdicts = campaign_process.submit(refusal_campaign, base, command, count).result()
    judge(f"{command} without space or permission", verdicts, record_property)
    assert len(verdicts) == count
