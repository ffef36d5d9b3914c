"""The label curve of a domain."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from softgraft import Domain
from softgraft.commands.evaluate import label_counts
from softgraft.errors import UsageError
from softgraft.jobs.charts import curve_chart
from softgraft.jobs.curve import CURVE, CurvePoint, measure_curve, read_curve

pytestmark = pytest.mark.heavy
MakeDomain = Callable[..., Domain]


def test_scores_rise_with_labels_and_answers_stay_as_they_are(make_domain: MakeDomain) -> None:
    domain = make_domain("west", ingest=True)
    seen: list[CurvePoint] = []
    curve = measure_curve(domain, [0, 4], on_point=seen.append)
    assert tuple(seen) == curve.points
    assert [(point.start, point.labels, point.token_f1.mean) for point in curve.points] == [
        ("quote", 0, curve.points[0].token_f1.mean), ("text-twin", 0, 0.0), ("text-twin", 4, 1.0),
    ]  # fmt: skip
    assert {point.questions for point in curve.points} == {4}
    assert (domain.manifest, domain.graft) == (None, "text-twin")
    assert not any((domain.build / "curve").iterdir())
    assert read_curve(domain.build / CURVE) == curve


def test_a_repeated_run_measures_what_is_missing(make_domain: MakeDomain) -> None:
    domain = make_domain("west", ingest=True)
    first = measure_curve(domain, [0])
    seen: list[CurvePoint] = []
    second = measure_curve(domain, [0, 2], on_point=seen.append)
    assert [(point.start, point.labels) for point in seen] == [("text-twin", 2)]
    assert second.points[: len(first.points)] == first.points
    # Other questions make another curve.
    assert len(measure_curve(domain, [0], limit=2, on_point=seen.append).points) == 2


def test_what_was_measured_under_other_conditions_is_measured_again(make_domain: MakeDomain) -> None:
    domain = make_domain("west", ingest=True)
    measure_curve(domain, [0])
    again: list[str] = []

    def starts() -> list[str]:
        again.clear()
        measure_curve(domain, [0], on_point=lambda point: again.append(point.start))
        return again

    assert starts() == []
    template = domain.template.path
    template.write_text(template.read_text(encoding="utf-8").replace("helpful", "kind"), encoding="utf-8")
    assert starts() == ["quote", "text-twin"]
    domain.file = domain.file.model_copy(update={"answer": domain.file.answer.model_copy(update={"max_tokens": 5})})
    assert starts() == ["quote", "text-twin"]
    (domain.docs / "more.md").write_text("# More\n\nA new card costs 99 euros.\n", encoding="utf-8")
    domain.ingest()
    assert starts() == ["quote", "text-twin"]
    train = domain.folder / "train.jsonl"
    train.write_text("".join(train.read_text().splitlines(keepends=True)[:2]))
    assert starts() == ["quote", "text-twin"]


def test_more_labels_than_there_are_is_an_error(make_domain: MakeDomain) -> None:
    with pytest.raises(UsageError, match="9 labels, and 4 train questions"):
        measure_curve(make_domain("west", ingest=True), [0, 9])


def test_a_damaged_file_is_no_curve(tmp_path: Path) -> None:
    (tmp_path / CURVE).write_text("{")
    assert read_curve(tmp_path / CURVE) is None
    assert read_curve(tmp_path / "none.json") is None


def test_the_command(
    make_domain: MakeDomain, run: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    domain = make_domain("west", ingest=True)
    monkeypatch.setattr("softgraft.commands.evaluate.open_domain", lambda name: domain)
    code, said, _ = run("curve", "west", "--labels", "0", "--json")
    assert code == 0
    assert [point["start"] for point in json.loads(said)["points"]] == ["quote", "text-twin"]
    code, said, _ = run("curve", "west", "--labels", "0")
    assert code == 0
    assert re.search(r"text-twin +0 +0\.000", said)
    code, _, error = run("curve", "west", "--labels", "many")
    assert code == 2
    assert "numbers of questions" in error


def test_counts_are_sorted_and_unique() -> None:
    assert label_counts("60, 0,15,60") == [0, 15, 60]
    with pytest.raises(UsageError, match="--labels 9999"):
        label_counts("9" * 5000)


def test_the_chart_has_a_line_for_each_start() -> None:
    points = [(0, 0.2, 0.1, 0.3), (60, 0.5, 0.4, 0.6)]
    drawn = curve_chart([("starter", points), ("text-twin", points)], 0.45)
    for name in ("starter", "text-twin", "quote"):
        assert f">{name}<" in drawn
