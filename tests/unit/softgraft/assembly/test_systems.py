"""The systems that an evaluation compares."""

from __future__ import annotations

import pytest

from softgraft.assembly.evaluation import SYSTEMS, system_names
from softgraft.errors import UsageError


def test_available_systems_in_their_usual_order() -> None:
    assert system_names(None, trained=True, cli_name="bank", closed=True, source=True) == list(SYSTEMS)
    usual = [name for name in SYSTEMS if name not in ("majority", "source")]
    assert system_names(None, trained=True, cli_name="bank") == usual
    assert system_names(None, trained=False, cli_name="bank") == ["base", "template", "text-twin", "quote", "auto"]
    assert system_names(["soft", "base"], trained=True, cli_name="bank") == ["base", "soft"]


@pytest.mark.parametrize(
    ("wanted", "trained", "found", "next_step"),
    [
        (["soft"], False, "no system soft", "run: softgraft train bank"),
        (["majority"], True, "no system majority", "run: softgraft eval bank --systems auto"),
        (["source"], True, "no system source", "run: softgraft eval bank --systems auto"),
        (["lora"], True, "no system lora", "run: softgraft eval bank --systems auto"),
        ([], True, "no system at all", "run: softgraft eval bank --systems auto"),
    ],
)
def test_unknown_and_untrained_systems_are_refused(
    wanted: list[str], trained: bool, found: str, next_step: str
) -> None:
    with pytest.raises(UsageError, match=found) as caught:
        system_names(wanted, trained=trained, cli_name="bank")
    assert caught.value.next_step == next_step
