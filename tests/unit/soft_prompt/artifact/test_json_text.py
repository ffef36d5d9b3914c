"""JSON that is written holds no number that JSON has no name for."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from soft_prompt.artifact.manifest import DevScores
from soft_prompt.json_text import dump_json, parse_json
from soft_prompt.training.checkpoint import RunState, TrainLog


def test_undefined_numbers_become_null() -> None:
    data = {"a": [1.5, math.nan, (math.inf, {"b": -math.inf})], "c": "NaN", "d": 3, "e": None, "f": True}
    expected = {"a": [1.5, None, [None, {"b": None}]], "c": "NaN", "d": 3, "e": None, "f": True}
    assert parse_json(dump_json(data)) == expected
    assert dump_json(data, indent=1) == json.dumps(expected, indent=1)
    assert dump_json({"b": "ä", "a": 1}, sort_keys=True, ensure_ascii=False) == '{"a": 1, "b": "ä"}'


@pytest.mark.parametrize("text", ["NaN", '{"a": [Infinity]}', '{"a": -Infinity}'])
def test_undefined_numbers_are_not_read(text: str) -> None:
    with pytest.raises(ValueError, match="is no number"):
        parse_json(text)


def test_the_log_of_a_diverged_step_is_json(tmp_path: Path) -> None:
    log = TrainLog(tmp_path / "log.jsonl", RunState(), resumed=False)
    log.write({"step": 1, "loss": math.nan, "gradient_norm": math.inf}, 1.0)
    assert parse_json((tmp_path / "log.jsonl").read_text()) == {
        "step": 1, "loss": None, "gradient_norm": None, "seconds": 1.0,
    }  # fmt: skip


def test_undefined_scores_are_no_scores() -> None:
    with pytest.raises(ValueError, match="finite"):
        DevScores(dev_loss=math.nan, dev_loss_text_twin=1.0, dev_token_f1=0.5, dev_token_f1_text_twin=0.5)
