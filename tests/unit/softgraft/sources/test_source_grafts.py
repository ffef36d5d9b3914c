"""Source grafts: making them from several domains, finding them, and starting from them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from house_domain import ANSWER, TRAIN, opened, questions, write_domain, write_items
from training_checks import edit_template, stored

from soft_prompt import ArtifactError, TrainStep, read_manifest
from softgraft import Domain
from softgraft.errors import DomainError, UsageError
from softgraft.jobs import source as source_job
from softgraft.jobs.finished_source import FINISHED, read_finished
from softgraft.jobs.source import SourceReport, make_source
from softgraft.settings.domain_file import TRAIN_LOG
from softgraft.sources.card import CARD, read_card, write_card
from softgraft.sources.shelf import GRAFTS, SOFT_PROMPT, find_source, read_source, source_folders
from softgraft.sources.start import START, ChosenStart, load_start, save_start

pytestmark = pytest.mark.heavy
MakeDomain = Callable[..., Domain]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, backbone_folders: tuple[Path, Path]) -> tuple[Path, SourceReport]:
    """The folder of a source that was trained on two domains, one without a licence, and measured on a third."""
    workplace = tmp_path_factory.mktemp("workplace")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(workplace)
        domains = [
            opened(write_domain(workplace / name, str(backbone_folders[0]), licence=licence))
            for name, licence in (("north", "CC-BY-4.0"), ("south", ""), ("east", "MIT"))
        ]
        for domain in domains:
            domain.ingest()
        report = make_source("compass", domains[:2], unseen=domains[2:], made_by="softgraft source compass")
        for domain in domains:
            domain.close()
    return workplace / GRAFTS / "compass", report


@pytest.fixture
def workplace(made: tuple[Path, SourceReport], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the source was made in, as the current one."""
    folder = made[0].parent.parent
    monkeypatch.chdir(folder)
    return folder


def test_a_source_learns_from_all_its_domains(made: tuple[Path, SourceReport]) -> None:
    folder, report = made
    assert (report.training.kept, report.training.examples, report.training.dev_questions) == (True, 8, 8)
    assert report.unknown_licences == ("south",)
    card = read_card(folder)
    assert card == report.card
    assert [(one.name, one.licence, one.questions, one.dev_questions) for one in card.domains] == [
        ("north", "CC-BY-4.0", 4, 4),
        ("south", "", 4, 4),
    ]
    assert [(one.token_f1, one.token_f1_text_twin) for one in card.domains] == [(1.0, 0.0)] * 2
    assert card.licences == "north (CC-BY-4.0), south (licence unknown)"
    [unseen] = card.unseen
    assert (unseen.name, unseen.split, unseen.questions) == ("east", "dev", 4)
    assert (unseen.token_f1, unseen.token_f1_text_twin) == (1.0, 0.0)
    assert card.gain == 1.0
    manifest = read_manifest(folder / SOFT_PROMPT)
    assert manifest is not None
    assert [one.domain for one in manifest.trained_on] == ["north", "south"]
    assert manifest.vectors_sha256 == card.vectors_sha256
    assert not (folder / "passages").exists()


def test_an_interrupted_run_ends_with_the_same_bits(
    made: tuple[Path, SourceReport], workplace: Path, tmp_path: Path
) -> None:
    domains = [opened(workplace / name) for name in ("north", "south")]

    def stop(step: TrainStep) -> None:
        if step.phase == "train" and step.done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_source("again", domains, folder=tmp_path / "again", on_step=stop)
    assert not (tmp_path / "again" / CARD).exists()
    report = make_source("again", domains, folder=tmp_path / "again")
    assert report.training.resumed
    assert read_source(tmp_path / "again").manifest.vectors_sha256 == read_source(made[0]).manifest.vectors_sha256
    for domain in domains:
        domain.close()


def test_a_run_that_is_interrupted_while_it_measures_does_not_train_again(
    made: tuple[Path, SourceReport], workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, steps = tmp_path / "again", []
    domains = [opened(workplace / name) for name in ("north", "south", "east")]

    def make(*chosen: Domain, **settings: Any) -> SourceReport:
        steps.clear()
        return make_source(
            "again", chosen, folder=target, unseen=domains[2:], on_step=lambda step: steps.append(step), **settings
        )

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(source_job, "measure_unseen", stop)
        with pytest.raises(KeyboardInterrupt):
            make(*domains[:2])
    assert read_card(target).unseen == ()
    report = make(*domains[:2])
    assert steps == []
    assert report.training.resumed
    assert report.card == read_card(target) == read_card(made[0]).model_copy(
        update={"name": "again", "made_by": "", "seconds": report.card.seconds if report.card else 0.0}
    )  # fmt: skip
    # All is measured, so the next run is a new one.
    assert not (target / FINISHED).exists()

    with monkeypatch.context() as patch:
        patch.setattr(source_job, "measure_unseen", stop)
        with pytest.raises(KeyboardInterrupt):
            make(*domains[:2])
    assert steps
    # Damaged, it counts as none, and so it does for another run.
    kept = (target / FINISHED).read_bytes()
    (target / FINISHED).write_bytes(kept.replace(b'"kept":true', b'"kept":false').replace(b"north", b"nordh"))
    assert read_finished(target, json.loads(kept)["run"]) is None
    (target / FINISHED).write_bytes(kept)
    assert read_finished(target, json.loads(kept)["run"]) is not None
    make(domains[0])
    assert steps
    for domain in domains:
        domain.close()


def test_a_domain_answers_with_its_source_before_it_is_trained(workplace: Path, make_domain: MakeDomain) -> None:
    domain = make_domain("west", start="compass", ingest=True)
    assert domain.graft == "source"
    assert domain.chain.invoke({"question": "What is the fee of a replacement card?"})["answer"] == ANSWER
    start = domain.status()["start"]
    assert (start["name"], start["trained_on"], start["gain"], start["unseen"]) == (
        "compass", ["north", "south"], 1.0, 1,
    )  # fmt: skip
    rows = {row.system: row for row in domain.evaluate(systems=["text-twin", "source"]).rows}
    assert [rows[name].token_f1.mean for name in ("text-twin", "source")] == [0.0, 1.0]  # type: ignore[union-attr]


def test_the_text_twin_can_be_asked_for(workplace: Path, make_domain: MakeDomain) -> None:
    domain = make_domain("west", start="text-twin", ingest=True)
    assert (domain.graft, domain.source) == ("text-twin", None)
    assert domain.status()["start"]["name"] == "text-twin"
    with pytest.raises(UsageError, match="no system source"):
        domain.evaluate(systems=["source"])


def test_training_goes_on_from_the_source_and_keeps_nothing_that_is_not_better(
    workplace: Path, make_domain: MakeDomain
) -> None:
    domain = make_domain("west", start="compass", ingest=True, train={**TRAIN, "epochs": 1})
    report = domain.train()
    # The source answers all dev questions already.
    assert (report.start, report.dev_score_start, report.dev_score_text_twin) == ("compass", 1.0, 0.0)
    assert (report.kept, domain.graft) == (False, "source")


def test_what_was_trained_from_a_source_says_so(workplace: Path, make_domain: MakeDomain) -> None:
    domain = make_domain("west", start="compass")
    for split in ("train", "dev"):
        write_items(
            domain.folder / f"{split}.jsonl", [{**row, "response": "0", "answers": ["0"]} for row in questions(split)]
        )
    domain.ingest()
    report = domain.train()
    assert (report.kept, report.start) == (True, "compass")
    manifest = domain.manifest
    assert manifest is not None
    assert (manifest.start, [one.domain for one in manifest.trained_on]) == ("compass", ["west"])


def test_training_on_from_a_source_takes_smaller_steps(workplace: Path, make_domain: MakeDomain) -> None:
    def rates(start: str) -> list[float]:
        domain = make_domain(start, start=start, ingest=True, train={**TRAIN, "epochs": 1, "source_rate": 0.25})
        domain.train()
        lines = map(json.loads, (domain.build / TRAIN_LOG).read_text().splitlines())
        return [line["learning_rate"] for line in lines if "learning_rate" in line]

    assert rates("compass") == pytest.approx([rate / 4 for rate in rates("text-twin")])


def test_a_search_starts_from_the_source_where_its_settings_allow(workplace: Path, make_domain: MakeDomain) -> None:
    grafting = make_domain("west", start="compass", ingest=True).grafting()
    assert grafting.start_source is not None
    shorter = grafting.settings.model_copy(update={"length": 8})
    assert replace(grafting, settings=shorter).start_source is None


def test_auto_takes_the_best_source_on_enough_dev_questions(workplace: Path, make_domain: MakeDomain) -> None:
    domain = make_domain("west", ingest=True, train={**TRAIN, "epochs": 1, "learning_rate": 1e-8})
    assert domain.source is None
    domain.train()
    assert load_start(domain.build / START) is None
    many = [{**row, "id": f"{row['id']}-{n}", "group": f"{n}"} for n in range(6) for row in questions("dev")]
    write_items(domain.folder / "dev.jsonl", many)
    domain.train()
    chosen = load_start(domain.build / START)
    assert chosen is not None
    assert (chosen.questions, chosen.scores) == (24, {"text-twin": 0.0, "compass": 1.0})
    assert domain.source is not None
    assert domain.source.name == "compass"


def test_a_choice_that_no_longer_fits_is_not_used(
    workplace: Path, make_domain: MakeDomain, backbone_folders: tuple[Path, Path]
) -> None:
    domain = make_domain("west")
    domain.build.mkdir()
    source = find_source("compass")
    chosen = ChosenStart(
        source=str(source.folder.resolve()), vectors_sha256=source.manifest.vectors_sha256, questions=24, scores={}
    )
    save_start(chosen, domain.build / START)
    assert domain.source is not None
    for change in ({"backbone": str(backbone_folders[1])}, {"attention": "block"}):
        domain.file = domain.file.model_copy(update=change)
        assert domain.source is None
    # Training without a candidate forgets the choice.
    other = make_domain("other", ingest=True, attention="block", train={**TRAIN, "epochs": 1})
    save_start(chosen, other.build / START)
    other.train()
    assert not (other.build / START).exists()


@pytest.mark.parametrize("start", ["auto", "broken"])
def test_a_damaged_card_is_an_error_and_not_another_start(
    start: str,
    made: tuple[Path, SourceReport],
    make_domain: MakeDomain,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / GRAFTS / "broken"
    shutil.copytree(made[0], folder)
    chosen = ChosenStart(
        source=str(folder), vectors_sha256=read_source(folder).manifest.vectors_sha256, questions=24, scores={}
    )
    (folder / CARD).write_bytes((folder / CARD).read_bytes().replace(b"CC-BY-4.0", b"CC-BY-4.8"))
    domain = make_domain("west", start=start)
    domain.build.mkdir()
    save_start(chosen, domain.build / START)
    with pytest.raises(ArtifactError, match="does not match its checksum"):
        domain.status()
    with pytest.raises(ArtifactError, match="does not match its checksum"):
        find_source("broken")
    shutil.rmtree(folder)
    if start == "auto":
        assert domain.source is None


def test_a_source_with_damaged_vectors_is_passed_over(
    made: tuple[Path, SourceReport], make_domain: MakeDomain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made[0], tmp_path / GRAFTS / "broken")
    (tmp_path / GRAFTS / "broken" / SOFT_PROMPT / "soft_prompt.safetensors").write_bytes(b"no")
    domain = make_domain("west", ingest=True, train={**TRAIN, "epochs": 1})
    domain.train()
    assert load_start(domain.build / START) is None


def test_a_start_that_nothing_would_use_is_refused(make_domain: MakeDomain) -> None:
    with pytest.raises(DomainError, match="start: compass with the model behind an API"):
        make_domain("remote", backbone="openai:gpt-4o-mini", start="compass", dtype="auto")


def test_auto_keeps_the_text_twin_if_no_source_beats_it(workplace: Path, make_domain: MakeDomain) -> None:
    domain = make_domain("west", train={**TRAIN, "epochs": 1, "learning_rate": 1e-8})
    rows = [
        {**row, "id": f"{row['id']}-{n}", "group": f"{n}", "response": "horse", "answers": ["horse"]}
        for n in range(6)
        for row in questions("dev")
    ]
    write_items(domain.folder / "dev.jsonl", rows)
    domain.ingest()
    domain.train()
    chosen = load_start(domain.build / START)
    assert chosen is not None
    assert (chosen.source, chosen.scores) == ("", {"text-twin": 0.0, "compass": 0.0})
    assert domain.source is None


def test_a_trained_domain_is_a_source_too(workplace: Path, grafted: Domain, make_domain: MakeDomain) -> None:
    domain = make_domain("west", start=str(grafted.folder))
    assert domain.source is not None
    assert [one.name for one in domain.source.card.domains] == ["house"]
    # A copied soft prompt is recognised.
    other = make_domain("other")
    (other.build).mkdir()
    (grafted.build / "soft_prompt").rename(other.build / "soft_prompt")
    assert other.status()["soft_prompt"]["of_another_domain"] is True


# The starter


@pytest.fixture
def starter(made: tuple[Path, SourceReport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The source as the starter of the package, in a workplace without sources."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("softgraft.sources.shelf._PACKAGED", tmp_path / "packaged")
    return Path(shutil.copytree(made[0], tmp_path / "packaged" / "rag-chat"))


def test_a_new_domain_starts_from_the_starter(starter: Path, make_domain: MakeDomain) -> None:
    domain = make_domain("west", ingest=True)
    assert domain.graft == "source"
    assert domain.chain.invoke({"question": "What is the fee of a replacement card?"})["answer"] == ANSWER
    start = domain.status()["start"]
    assert (start["name"], start["trained_on"]) == ("compass", ["north", "south"])
    assert "licence unknown" in start["licences"]


def test_a_domain_that_the_starter_has_learned_does_not_start_from_it(starter: Path, make_domain: MakeDomain) -> None:
    own = make_domain("north", ingest=True, train={**TRAIN, "epochs": 1, "learning_rate": 1e-8})
    assert own.source is None
    many = [{**row, "id": f"{row['id']}-{n}", "group": f"{n}"} for n in range(6) for row in questions("dev")]
    write_items(own.folder / "dev.jsonl", many)
    own.train()
    assert load_start(own.build / START) is None
    # Unless it is asked for.
    assert make_domain("south", start="starter").source is not None


def test_a_starter_of_another_backbone_is_passed_over(
    starter: Path, make_domain: MakeDomain, backbone_folders: tuple[Path, Path]
) -> None:
    assert make_domain("west", backbone=str(backbone_folders[1])).source is None


# Bad input


def _mislabel(folder: Path) -> None:
    write_card(read_card(folder).model_copy(update={"vectors_sha256": "0" * 64}), folder)


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (lambda folder: (folder / CARD).write_text("{"), "cannot be read"),
        (lambda folder: (folder / CARD).write_text('{"format_version": 99}'), "has the format 99"),
        (_mislabel, "describes another soft prompt"),
        (lambda folder: (folder / SOFT_PROMPT / "manifest.json").unlink(), "cannot be read"),
    ],
)
def test_a_damaged_source_is_reported(
    made: tuple[Path, SourceReport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    run: Callable[..., tuple[int, str, str]], damage: Callable[[Path], Any], found: str,
) -> None:  # fmt: skip
    copy = tmp_path / GRAFTS / "broken"
    shutil.copytree(made[0], copy)
    damage(copy)
    with pytest.raises(ArtifactError, match=found):
        read_source(copy)
    code, said, noted = run("sources")
    assert (code, "broken" in said, found in noted) == (0, False, True)


def test_a_source_of_another_backbone_or_slot_does_not_fit(
    workplace: Path, make_domain: MakeDomain, backbone_folders: tuple[Path, Path]
) -> None:
    with pytest.raises(DomainError, match="is for the backbone"):
        _ = make_domain("other", start="compass", backbone=str(backbone_folders[1])).source
    renamed = make_domain("renamed", start="compass")
    edit_template(renamed, "domain", "field")
    with pytest.raises(DomainError, match="is for the slot 'domain'"):
        _ = renamed.source
    with pytest.raises(UsageError, match="length: 8"):
        make_domain("short", start="compass", ingest=True, train={**TRAIN, "length": 8}).grafting()


def test_an_unknown_source_is_an_error_with_the_nearest_name(workplace: Path, make_domain: MakeDomain) -> None:
    with pytest.raises(DomainError, match="did you mean 'compass'"):
        find_source("compas")
    with pytest.raises(DomainError, match="no starter for the backbone"):
        _ = make_domain("west", start="starter").source
    assert source_folders()[0] == GRAFTS / "compass"


def test_domains_that_do_not_fit_together_are_refused(
    make_domain: MakeDomain, backbone_folders: tuple[Path, Path], tmp_path: Path
) -> None:
    one, two = make_domain("one", ingest=True), make_domain("two", backbone=str(backbone_folders[1]))
    with pytest.raises(UsageError, match="another backbone"):
        make_source("pair", [one, two], folder=tmp_path / "pair")
    with pytest.raises(UsageError, match="the domain one twice"):
        make_source("pair", [one, one], folder=tmp_path / "pair")
    with pytest.raises(UsageError, match="no domain"):
        make_source("pair", [], folder=tmp_path / "pair")
    with pytest.raises(UsageError, match="the name 'auto'"):
        make_source("auto", [one], folder=tmp_path / "pair")
    other = make_domain("other")
    edit_template(other, "Answer the question.", "Answer the question now.")
    with pytest.raises(UsageError, match="another template"):
        make_source("pair", [one, other], folder=tmp_path / "pair")
    write_items(one.folder / "train.jsonl", [])
    with pytest.raises(UsageError, match="0 train and 4 dev questions of"):
        make_source("pair", [one], folder=tmp_path / "pair")
    assert not (tmp_path / "pair" / CARD).exists()


def test_a_source_that_is_no_better_than_its_text_twin_is_not_kept(make_domain: MakeDomain, tmp_path: Path) -> None:
    domain = make_domain("weak", ingest=True, train={**TRAIN, "epochs": 1, "learning_rate": 1e-8})
    report = make_source("weak", [domain], folder=tmp_path / "weak")
    assert (report.card, stored(domain)) == (None, {})
    assert not (tmp_path / "weak" / CARD).exists()
