"""Evidence scales on disk: a domain's own, those of the first release, and the default ones."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from retrieval import EvidenceScale, RetrievalError, load_scale, save_scale
from retrieval.encoders.load import load_encoder
from retrieval.ranking.evidence_score import LogisticModel
from retrieval.ranking.scale_files import DefaultScales, default_scale, read_default_scales, save_default_scales

MODEL = LogisticModel(("coverage", "best_cosine"), (3.0, 2.0), -1.0, 0.4)
SCALE = EvidenceScale(MODEL, LogisticModel(("own_coverage",), (1.0,), 0.5, 0.3), questions=50, wrong_refusals=0.04)
FIRST: dict[str, Any] = {
    "features": ["best_cosine", "mean_cosine", "best_sentence", "best_coverage", "log_bm25", "lead"],
    "weights": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
    "bias": -7.0,
    "threshold": 0.3,
    "questions": 300,
    "wrong_refusals": 0.05,
    "right_refusals": 0.9,
    "answered_share": 0.7,
    "brier": None,
    "calibration_error": 0.05,
}


def test_a_scale_round_trips(tmp_path: Path) -> None:
    path = tmp_path / "build" / "evidence.json"
    assert load_scale(path) is None
    for scale in (SCALE, replace(SCALE, follow_up=None)):
        save_scale(scale, path)
        assert load_scale(path) == scale
    assert [file.name for file in path.parent.iterdir()] == ["evidence.json"]


def test_a_scale_of_the_first_release_is_read(tmp_path: Path) -> None:
    path = tmp_path / "evidence.json"
    path.write_text(json.dumps(FIRST))
    scale = load_scale(path)
    assert scale is not None
    assert dict(zip(scale.model.features, scale.model.weights, strict=True)) == {
        "best_cosine": 1.0, "mean_cosine": 2.0, "best_sentence": 3.0, "coverage": 4.0, "log_bm25": 5.0, "lead": 6.0,
    }  # fmt: skip
    assert (scale.model.bias, scale.threshold, scale.questions, scale.right_refusals) == (-7.0, 0.3, 300, 0.9)
    assert scale.follow_up is None


@pytest.mark.parametrize(
    "damage",
    [
        {"features": ["luck"]},
        {"features": ["coverage"]},
        {"weights": [1.0, "much"]},
        {"extra": 1},
    ],
)
def test_other_files_are_refused(tmp_path: Path, damage: dict[str, Any]) -> None:
    path = tmp_path / "evidence.json"
    save_scale(SCALE, path)
    raw = json.loads(path.read_text())
    del raw["checksum"]
    raw["scale"]["model"] |= damage
    path.write_text(json.dumps(raw))
    with pytest.raises(RetrievalError, match="not a valid evidence scale") as caught:
        load_scale(path)
    assert "softgraft ingest" in caught.value.next_step


@pytest.mark.parametrize("text", ["{}", "[]", "{", json.dumps({**FIRST, "weights": [1.0]}), '{"format": 3}'])
def test_damaged_files_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "evidence.json"
    path.write_text(text)
    with pytest.raises(RetrievalError, match="not a valid evidence scale"):
        load_scale(path)


@pytest.mark.heavy
def test_the_embedded_encoder_has_a_default_scale_of_its_own() -> None:
    scale = default_scale(load_encoder().id)
    assert scale.reads_vectors
    assert scale.origin == "default"
    assert 0 < scale.threshold < 1


@pytest.mark.heavy
def test_unknown_encoders_and_word_searches_are_judged_by_words() -> None:
    for scale in (default_scale("unknown@sha256:1"), default_scale(load_encoder().id, vectors=False)):
        assert not scale.reads_vectors


def test_default_scales_round_trip(tmp_path: Path) -> None:
    scales = DefaultScales("a command", {"minilm@": SCALE}, replace(SCALE, follow_up=None))
    save_default_scales(scales, tmp_path / "scales.json")
    assert read_default_scales(tmp_path / "scales.json") == scales
