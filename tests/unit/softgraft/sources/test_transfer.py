"""The matrix of transfer, and the commands about sources."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from softgraft import Domain
from softgraft.errors import UsageError
from softgraft.jobs.transfer import BASELINES, measure_transfer, save_heat_map

pytestmark = pytest.mark.heavy
MakeDomain = Callable[..., Domain]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def pair(grafted: Domain, make_domain: MakeDomain) -> tuple[Domain, Domain]:
    """A trained domain, and another one with a copy of its soft prompt."""
    other = make_domain("other", ingest=True)
    shutil.copytree(grafted.build / "soft_prompt", other.build / "soft_prompt")
    return grafted, other


def test_each_soft_prompt_is_asked_the_questions_of_each_domain(pair: tuple[Domain, Domain], tmp_path: Path) -> None:
    asked: list[tuple[str, int, int]] = []
    report = measure_transfer(pair, on_cell=lambda *told: asked.append(told))
    cells = {(cell.trained_on, cell.asked): cell for cell in report.cells}
    assert {*cells} == {(row, column) for row in (*BASELINES, "house", "other") for column in ("house", "other")}
    assert cells["house", "other"].token_f1 == cells["other", "other"].token_f1 == 1.0
    gain = cells["house", "other"].minus_text_twin
    assert gain is not None
    assert (gain.mean, cells["text-twin", "other"].minus_text_twin) == (1.0, None)
    # The documents are the same, and so are the soft prompts.
    assert [(one.prompt_cosine, one.document_distance) for one in report.predictors] == [(1.0, 0.0)] * 2
    # Two pairs are too few for a correlation.
    assert report.correlations == {"prompt_cosine": None, "document_distance": None}
    assert asked[-1] == ("other", 4, 4)
    save_heat_map(report, tmp_path / "transfer.png")
    assert (tmp_path / "transfer.png").read_bytes().startswith(b"\x89PNG")


def test_with_labels_training_goes_on_in_a_folder_of_its_own(pair: tuple[Domain, Domain], tmp_path: Path) -> None:
    report = measure_transfer(pair, labels=2, limit=2, work=tmp_path / "further")
    further = [cell for cell in report.cells if cell.labels]
    assert [(cell.trained_on, cell.asked, cell.labels, cell.questions) for cell in further] == [
        ("other", "house", 2, 2),
        ("house", "other", 2, 2),
    ]
    assert {path.name for path in (tmp_path / "further").iterdir()} == {"other-house-2", "house-other-2"}


def test_with_labels_the_settings_have_to_continue_every_soft_prompt(pair: tuple[Domain, Domain]) -> None:
    other = pair[1]
    train = other.file.train.model_copy(update={"length": 8})
    other.file = other.file.model_copy(update={"train": train})
    with pytest.raises(UsageError, match="length: 8"):
        measure_transfer(pair, labels=2)


def test_a_domain_that_is_not_trained_is_refused(grafted: Domain, make_domain: MakeDomain) -> None:
    with pytest.raises(UsageError, match="no trained soft prompt"):
        measure_transfer([grafted, make_domain("new")])
    with pytest.raises(UsageError, match="one domain"):
        measure_transfer([grafted])


def test_the_commands(pair: tuple[Domain, Domain], run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_folder = {str(domain.folder): domain for domain in pair}
    monkeypatch.setattr("softgraft.commands.sources.open_domain", by_folder.__getitem__)
    names = ",".join(str(domain.folder) for domain in pair)
    code, said, _ = run("transfer", names, "--limit", "2")
    assert (code, "house  " in said, "text-twin" in said) == (0, True, True)
    assert json.loads((tmp_path / "grafts" / "transfer.json").read_text())["domains"] == ["house", "other"]
    with monkeypatch.context() as patch:
        # What cannot be written is found before anything is measured.
        patch.setattr("softgraft.jobs.transfer.measure_transfer", lambda *_, **__: pytest.fail("was measured"))
        code, _, error = run("transfer", names, "--output", str(pair[0].folder / "domain.yaml"))
        assert (code, "File exists" in error) == (6, True)
    code, said, noted = run("source", "both", "--from", names, "--limit", "2")
    assert (code, "kept in grafts/both" in said, "the licence of house is unknown" in noted) == (0, True, True)
    code, said, _ = run("sources", "--json")
    [source] = [one for one in json.loads(said)["sources"] if not one["packaged"]]
    assert (code, source["name"], [one["name"] for one in source["domains"]]) == (0, "both", ["house", "other"])
    assert source["made_by"].startswith("softgraft source both --from ")
    code, said, _ = run("sources")
    assert "house (licence unknown), other (licence unknown)" in said
