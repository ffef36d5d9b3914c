"""Training methods of a domain: where they find other domains' examples, other soft prompts and a teacher."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from house_domain import TRAIN, opened, questions, write_domain, write_items

from chains.answering.speaker import PreparedPrompt
from prompts import PassageSegment, RenderedPrompt
from soft_prompt import TrainConfig, TrainingError, TrainStep, from_text_twin
from softgraft import Domain
from softgraft.commands.train import report_lines
from softgraft.errors import DomainError, UsageError
from softgraft.jobs.source import make_source
from softgraft.training.methods import MethodRun, MethodSources, method_data

pytestmark = pytest.mark.heavy
MakeDomain = Callable[..., Domain]


@pytest.fixture(scope="module")
def workplace_of_sources(tmp_path_factory: pytest.TempPathFactory, backbone_folders: tuple[Path, Path]) -> Path:
    """A folder with two domains and a source of each; trained little, so that training on is worth it."""
    workplace = tmp_path_factory.mktemp("workplace")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(workplace)
        for name in ("north", "south"):
            domain = opened(write_domain(workplace / "domains" / name, str(backbone_folders[0])))
            domain.ingest()
            settings = domain.file.train.model_copy(update={"seed": len(name)})
            assert make_source(f"of-{name}", [domain], settings=settings).card is not None
            domain.close()
    return workplace


@pytest.fixture
def workplace(workplace_of_sources: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(workplace_of_sources)
    return workplace_of_sources


def settings(method: str, **more: Any) -> dict[str, Any]:
    return {**TRAIN, "method": method, **more}


def passages(prompt: PreparedPrompt) -> list[str]:
    given = prompt.prompt
    assert isinstance(given, RenderedPrompt)
    parts = [part for message in given.messages for part in message.segments]
    return [part.text for part in parts if isinstance(part, PassageSegment)]


def learning_zero(domain: Domain) -> Domain:
    """The domain with another answer than its sources have learned."""
    for split in ("train", "dev"):
        rows = [{**row, "response": "0", "answers": ["0"]} for row in questions(split)]
        write_items(domain.folder / f"{split}.jsonl", rows)
    domain.ingest()
    return domain


def test_the_domains_of_the_start_are_replayed(workplace: Path, make_domain: MakeDomain) -> None:
    domain = learning_zero(make_domain("west", start="of-north", train=settings("replay")))
    report = domain.train()
    assert report.kept
    manifest = domain.manifest
    assert manifest is not None
    assert manifest.train["method"] == "replay"
    assert "replay_share" not in manifest.train
    # Own questions alone are in the count of examples.
    assert (report.examples, report.method) == (4, "replay")
    assert report.replayed > 0
    assert "replayed: 4 questions of the domains" in "\n".join(report_lines(report, "questions"))


def test_domains_to_replay_can_be_named(workplace: Path, make_domain: MakeDomain) -> None:
    domain = learning_zero(make_domain("west", start="text-twin", train=settings("replay", replay_from="north,south")))
    grafting = domain.grafting()
    replayed = grafting.method_sources.replayed(6)
    assert len(replayed) == 6
    assert {item.target for _, item in replayed} == {"12"}


@pytest.mark.parametrize(
    ("named", "found"), [(None, "no domain to replay"), ("north,moon", "no folder of the domain moon")]
)
def test_domains_that_are_not_here_cannot_be_replayed(
    workplace: Path, make_domain: MakeDomain, named: str | None, found: str
) -> None:
    domain = make_domain("west", ingest=True, start="text-twin", train=settings("replay", replay_from=named))
    with pytest.raises(UsageError, match=found):
        domain.train()
    assert not (domain.build / "soft_prompt").exists()


def test_a_domain_with_another_template_is_not_replayed(
    workplace: Path, make_domain: MakeDomain, tmp_path: Path, backbone_folders: tuple[Path, Path]
) -> None:
    folder = write_domain(tmp_path / "elsewhere", str(backbone_folders[0]))
    template = folder / "templates" / "rag-chat.en.yaml"
    template.write_text(
        template.read_text(encoding="utf-8").replace("Answer the question.", "Reply."), encoding="utf-8"
    )
    domain = make_domain("west", ingest=True, start="text-twin", train=settings("replay", replay_from=str(folder)))
    with pytest.raises(UsageError, match="has another template than"):
        domain.train()


def test_weights_need_a_soft_prompt_of_the_domain(workplace: Path, make_domain: MakeDomain) -> None:
    domain = learning_zero(make_domain("west", start="of-north", train=settings("weighted-replay")))
    with pytest.raises(TrainingError, match="no trained soft prompt of this domain"):
        domain.train()
    plain = domain.file.train.model_copy(update={"method": "plain"})
    assert domain.train(settings=plain).kept
    report = domain.train()
    assert report.steps == 45
    assert report.effective_replayed is not None
    assert 1 <= report.effective_replayed <= report.replayed + 1e-9


def test_the_sources_that_fit_are_mixed(workplace: Path, make_domain: MakeDomain) -> None:
    domain = learning_zero(make_domain("west", start="text-twin", train=settings("mixture")))
    assert len(domain.grafting().method_sources.mixed()) == 2
    assert domain.train().kept
    shorter = domain.file.train.model_copy(update={"length": 8})
    with pytest.raises(TrainingError, match="0 soft prompts to mix"):
        domain.train(settings=shorter)


def test_a_teacher_is_shown_the_right_passage_alone(workplace: Path, make_domain: MakeDomain) -> None:
    domain = make_domain("west", ingest=True, start="text-twin", train=settings("distillation"))
    grafting = domain.grafting()
    data = grafting.training_set(domain.items("train"), domain.items("dev"))
    shown = grafting.task.with_gold([item for _, item in data.train])
    for gold, (prompt, _) in zip(shown, data.train, strict=True):
        assert gold is not None
        own, retrieved = passages(gold), passages(prompt)
        assert len(own) == 1 <= len(retrieved)
        assert "replacement card" in own[0]
    assert domain.train().kept


def test_a_difference_to_the_start_is_trained(workplace: Path, make_domain: MakeDomain) -> None:
    domain = learning_zero(make_domain("west", start="of-north", train=settings("shared", difference_rank=1)))
    assert domain.train().steps == 45


def test_sources_are_made_by_the_methods_for_several_domains(workplace: Path, tmp_path: Path) -> None:
    domains = [opened(workplace / "domains" / name) for name in ("north", "south")]
    for method in ("reptile", "shared"):
        chosen = domains[0].file.train.model_copy(update={"method": method})
        report = make_source("both", domains, folder=tmp_path / method, settings=chosen)
        assert report.training.dev_loss < report.training.dev_loss_text_twin
    for domain in domains:
        domain.close()


def by_document(domain: Domain) -> Domain:
    """The domain with four train questions each of two documents."""
    asked = [(row, document) for document in ("cards", "fees") for row in questions("train")]
    rows = [{**row, "id": f"{row['id']}-{document}", "doc_id": document} for row, document in asked]
    write_items(domain.folder / "train.jsonl", rows)
    domain.ingest()
    return domain


def test_a_source_of_one_domain_takes_its_documents_in_turn(
    make_domain: MakeDomain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    domain = by_document(make_domain("west"))
    given = {"method": "reptile", "reptile_groups": "documents", "inner_steps": 1, "epochs": 10}
    chosen = domain.file.train.with_options(given)
    groups: list[Any] = []

    def recorded(*given: Any) -> Any:
        data = method_data(*given)
        groups.append(list(data.groups))
        return data

    monkeypatch.setattr("softgraft.training.grafting.method_data", recorded)
    report = make_source("west", [domain], folder=tmp_path / "whole", settings=chosen)
    [found] = groups
    assert {tuple(found[:4]), tuple(found[4:])} == {(0, 0, 0, 0), (1, 1, 1, 1)}
    assert report.training.dev_loss < report.training.dev_loss_text_twin

    def stop(step: TrainStep) -> None:
        if step.phase == "train" and step.done == 13:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_source("west", [domain], folder=tmp_path / "again", settings=chosen, on_step=stop)
    again = make_source("west", [domain], folder=tmp_path / "again", settings=chosen)
    assert again.training.resumed
    assert (again.training.dev_loss, again.training.best_epoch) == (
        report.training.dev_loss,
        report.training.best_epoch,
    )


def test_documents_with_too_few_questions_are_no_groups(make_domain: MakeDomain, tmp_path: Path) -> None:
    domain = by_document(make_domain("west"))
    given = {"method": "reptile", "reptile_groups": "documents", "reptile_min_questions": 5}
    with pytest.raises(UsageError, match="one group of questions: 2 documents, 8 questions"):
        make_source("west", [domain], folder=tmp_path / "source", settings=domain.file.train.with_options(given))
    assert not (tmp_path / "source" / "soft_prompt").exists()


def test_groups_are_an_option_of_the_command(make_domain: MakeDomain, run: Callable[..., tuple[int, str, str]]) -> None:
    domain = make_domain("west")
    code, _, err = run("source", "west", "--from", str(domain.folder), "--reptile-groups", "documents")
    assert code == 2
    assert "reptile_groups with `method: plain`" in " ".join(err.split())


def test_methods_are_refused_where_they_do_not_belong(workplace: Path, make_domain: MakeDomain) -> None:
    domain = make_domain("west", ingest=True, train=settings("reptile"))
    with pytest.raises(UsageError, match="`method: reptile` for"):
        domain.train()
    chosen = domain.file.train.model_copy(update={"method": "mixture"})
    with pytest.raises(UsageError, match="`method: mixture` for a source"):
        make_source("one", [domain], settings=chosen)


def test_settings_of_another_method_are_an_error_in_the_file(make_domain: MakeDomain) -> None:
    domain = make_domain("west")
    path = domain.folder / "domain.yaml"
    file = yaml.safe_load(path.read_text(encoding="utf-8"))
    for wrong, found in (
        ({"replay_share": 0.5}, "replay_share with `method: plain`"),
        ({"replay_from": "north"}, "replay_from with `method: plain`"),
        ({"method": "replay", "replay_share": 1.5}, "replay_share"),
        ({"method": "plain", "reptile_groups": "documents"}, "reptile_groups with `method: plain`"),
        ({"method": "reptile", "reptile_min_questions": 2}, "reptile_min_questions without groups of documents"),
        ({"method": "reptile", "adversarial_from": "north"}, "adversarial_from with `method: reptile`"),
        ({"method": "adversarial", "adversarial_weight": 0}, "adversarial_weight"),
    ):
        path.write_text(yaml.safe_dump({**file, "train": {**TRAIN, **wrong}}), encoding="utf-8")
        with pytest.raises(DomainError, match=found):
            opened(domain.folder)


def test_only_methods_that_tell_domains_apart_get_groups(make_domain: MakeDomain) -> None:
    domain = make_domain("west", ingest=True)
    grafting = domain.grafting()
    run = MethodRun(domain.store, grafting.task, grafting.folder, MethodSources(), lambda: grafting.teacher)
    start = from_text_twin(domain.store.backbone, "domain", "Answer the question.", 4)
    for method, expected in (("plain", ()), ("reptile", (0, 1)), ("shared", (0, 1))):
        assert tuple(method_data(run, [], (0, 1), start, TrainConfig(method=method)).groups) == expected
