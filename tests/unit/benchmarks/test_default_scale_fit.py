"""The benchmark of refusals: what is fitted on some sets and counted on others."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from benchmarks.search.refusals import fit, sets
from benchmarks.search.refusals.sets import Case
from retrieval.ranking.evidence_features import FEATURES, VECTOR_FEATURES
from retrieval.ranking.evidence_score import EvidenceScale, LogisticModel
from retrieval.ranking.scale_files import read_default_scales

pytestmark = pytest.mark.bench


def case(name: str, split: str, kind: sets.Kind, strength: float, *, follow_up: bool = False) -> Case:
    answered = kind in ("own", "pair") and strength > 0.5
    return Case(name, split, kind, answered, answered, follow_up, dict.fromkeys(FEATURES, strength), follow_up)


@pytest.fixture
def cases() -> list[Case]:
    rng = random.Random(0)
    kinds: list[sets.Kind] = ["own", "own", "removed", "foreign", "pair", "pair-removed"]
    made = []
    for name in ("a", "b", "c"):
        for split in ("train", "test"):
            for n in range(120):
                kind = kinds[n % len(kinds)]
                strong = kind == "own" or (kind == "pair" and n % 4 == 0)
                strength = min(1.0, max(0.0, rng.gauss(0.8 if strong else 0.2, 0.1)))
                made.append(case(name, split, kind, strength, follow_up=n % 3 == 0))
    return made


def test_the_held_out_set_is_not_fitted_on(cases: list[Case], monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[set[tuple[str, str]]] = []
    fit_model = fit.fit_default

    def remember(some: list[Case], *args: object) -> LogisticModel:
        fitted.append({(one.set, one.split) for one in some})
        return fit_model(some, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(fit, "fit_default", remember)
    results = fit.measure(cases)
    expected = [{(name, "train") for name in "abc" if name != out} for out in "abc" for _ in fit.SYSTEMS]
    assert fitted == expected
    rows = results["held_out"]["test"]["default"]
    assert {*rows} == {"a", "b", "c"}
    for row in rows.values():
        assert row["answered"]["share"] <= 0.2
        assert row["foreign"]["share"] >= 0.95
        assert row["unanswerable"] is None or row["unanswerable"]["share"] == 1.0


def test_the_default_threshold_is_low(cases: list[Case]) -> None:
    train = [one for one in cases if one.split == "train"]
    assert fit.fit_default(train, fit.SYSTEMS["default"], limit=0.1).threshold == fit.MAX_DEFAULT_THRESHOLD


def test_a_threshold_is_right_on_average_over_the_sets(cases: list[Case], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "MAX_DEFAULT_THRESHOLD", 1.0)
    train = [one for one in cases if one.split == "train"]
    model = fit.fit_default(train, fit.SYSTEMS["default"], limit=0.1)
    answered = [one for one in train if one.kind == "own" and one.answered]
    shares = [
        [model.score(one.judged) < model.threshold for one in answered if one.set == name] for name in ("a", "b", "c")
    ]
    assert 0.02 < sum(sum(some) / len(some) for some in shares) / 3 <= 0.1


def test_a_set_that_was_searched_by_words_alone_is_left_out_of_scales_for_vectors(cases: list[Case]) -> None:
    features = {name: 0.5 for name in FEATURES if name not in VECTOR_FEATURES}
    by_words = Case("zh", "train", "own", True, True, False, features, False)
    assert not fit.has_features(by_words, fit.SYSTEMS["default"])
    assert fit.has_features(by_words, fit.SYSTEMS["default, words alone"])
    assert "zh" not in fit.measure([*cases, by_words])["held_out"]["train"]["best cosine"]


def test_cases_round_trip_as_json() -> None:
    one = case("a", "train", "own", 0.25)
    assert Case(**one.as_json()) == one
    nothing = Case("a", "train", "foreign", False, False, False, {}, False)
    assert not EvidenceScale(LogisticModel((), (), 60.0, 0.0)).enough(nothing.judged)


def test_other_encoders_keep_their_default_scale(
    cases: list[Case], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "ROOT", tmp_path)
    (tmp_path / "retrieval" / "ranking").mkdir(parents=True)
    for encoder in ("one@sha256:1", "two@sha256:2", "one@sha256:3"):
        path = fit.write_default(cases, encoder)
    scales = read_default_scales(path)
    assert list(scales.encoders) == ["one@", "two@"]
    assert all(
        scale.origin == "default" and scale.follow_up is None for scale in (*scales.encoders.values(), scales.words)
    )
    assert not scales.words.reads_vectors
