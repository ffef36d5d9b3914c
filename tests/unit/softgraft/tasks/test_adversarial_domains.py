"""Domain-adversarial training of classification domains: where its texts come from, and what is said and recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from task_domain import TRAIN, WORDS, edit_settings, examples, make_task_domain, reopened, write_rows

from evaluation import ItemsError
from soft_prompt import TrainStep
from softgraft import Domain
from softgraft.commands.train import report_lines
from softgraft.errors import UsageError
from softgraft.tasks.adversarial_texts import read_unlabelled

pytestmark = pytest.mark.heavy

SETTINGS = {**TRAIN, "method": "adversarial", "epochs": 4}
TEXTS = [{"text": f"pls {word} my plastic"} for word in ("send", "block", "fill", "find", "refund")]


@pytest.fixture
def make(tmp_path: Path, backbone_folders: tuple[Path, Path]) -> Iterator[Callable[..., Domain]]:
    made: list[Domain] = []

    def make(name: str, task: Any = "classification", **train: Any) -> Domain:
        make_task_domain(tmp_path / "domains" / name, task, str(backbone_folders[0])).close()
        edit_settings(tmp_path / "domains" / name, train={**SETTINGS, **train}, licence="MIT")
        made.append(reopened(tmp_path / "domains" / name))
        return made[-1]

    yield make
    for domain in made:
        domain.close()


def test_unlabelled_texts_of_another_style_are_read(make: Callable[..., Domain]) -> None:
    domain = make("intents")
    write_rows(domain.folder / "unlabelled.jsonl", TEXTS)
    report = domain.train()
    assert (report.examples, report.unlabelled, report.sourced) == (9, 5, 0)
    assert report.domain_accuracy is not None
    assert 0 <= report.domain_accuracy <= 1
    assert report.dev_loss < report.dev_loss_text_twin
    assert "beside 5 unlabelled texts and 0 labelled ones" in "\n".join(report_lines(report, "texts"))
    texts = domain.grafting(domain.file.train).adversarial_texts
    assert (len(texts.unlabelled), texts.labelled) == (5, [])


def test_labelled_texts_of_other_domains_are_learned_and_recorded(make: Callable[..., Domain], tmp_path: Path) -> None:
    other = make("letters", epochs=30)
    write_rows(other.folder / "train.jsonl", examples("classification", 6, first=20))
    domain = make("intents", epochs=30, adversarial_from=str(other.folder))
    report = domain.train()
    assert (report.examples, report.unlabelled, report.sourced) == (9, 0, 18)
    assert report.kept
    manifest = domain.manifest
    assert manifest is not None
    assert [(one.domain, one.licence, one.questions) for one in manifest.trained_on] == [
        ("intents", "MIT", 9),
        ("letters", "MIT", 18),
    ]
    assert manifest.train["method"] == "adversarial"
    assert manifest.train["adversarial_from"] == str(other.folder)
    # The domain classifier is no part of the soft prompt.
    folder = domain.build / "soft_prompt"
    assert not any("adversary" in path.name for path in folder.iterdir())
    assert b"adversary" not in (folder / "soft_prompt.safetensors").read_bytes()


def test_a_killed_run_ends_with_the_same_bits(make: Callable[..., Domain]) -> None:
    found = []
    for name in ("whole", "killed"):
        domain = make(name, epochs=9)
        write_rows(domain.folder / "unlabelled.jsonl", TEXTS)

        def stop(step: TrainStep) -> None:
            if step.phase == "train" and step.done == 12:
                raise KeyboardInterrupt

        if name == "killed":
            with pytest.raises(KeyboardInterrupt):
                domain.train(on_step=stop)
        report = domain.train()
        assert report.resumed == (name == "killed")
        found.append((report.dev_loss, report.best_epoch, report.steps, report.domain_accuracy))
    assert found[0] == found[1]


def test_a_domain_alone_is_refused(make: Callable[..., Domain]) -> None:
    with pytest.raises(UsageError, match=r"no .*unlabelled\.jsonl, and no other domain"):
        make("intents").train()


def test_domains_that_do_not_fit_are_refused(make: Callable[..., Domain], tmp_path: Path) -> None:
    writing, labelling = make("writing", "summarisation", method="plain"), make("labelling")
    rows = examples("classification", 4)
    write_rows(labelling.folder / "train.jsonl", [*rows, {"text": "hello", "label": "greeting"}])
    (labelling.folder / "labels.yaml").write_text(yaml.safe_dump({**WORDS, "greeting": "g"}), encoding="utf-8")
    folder = tmp_path / "domains"
    for named, error, found in (
        (writing.folder, UsageError, "has the task summarisation"),
        (labelling.folder, ItemsError, "1 labels that .* does not have: greeting"),
        (folder / "intents", UsageError, "as another domain of"),
        (folder / "moon", UsageError, "no folder of the domain"),
    ):
        domain = make("intents", adversarial_from=str(named)) if not (folder / "intents").exists() else None
        if domain is None:
            edit_settings(folder / "intents", train={**SETTINGS, "adversarial_from": str(named)})
            domain = reopened(folder / "intents")
        with pytest.raises(error, match=found):
            domain.train()
        domain.close()


def test_tasks_without_labels_refuse_it(make: Callable[..., Domain]) -> None:
    with pytest.raises(UsageError, match=r"`method: adversarial` for .*writing"):
        make("writing", "summarisation").train()


def test_unlabelled_texts_are_a_column(tmp_path: Path) -> None:
    assert read_unlabelled(tmp_path) == []
    (tmp_path / "unlabelled.csv").write_text("text,seen\nmy card,yes\n", encoding="utf-8")
    assert read_unlabelled(tmp_path) == ["my card"]
    (tmp_path / "unlabelled.csv").write_text('txt\n"my card"\n', encoding="utf-8")
    with pytest.raises(ItemsError):
        read_unlabelled(tmp_path)
    write_rows(tmp_path / "unlabelled.jsonl", [{"text": " "}])
    with pytest.raises(ItemsError, match="one file"):
        read_unlabelled(tmp_path)
    (tmp_path / "unlabelled.csv").unlink()
    with pytest.raises(ItemsError, match="line 1"):
        read_unlabelled(tmp_path)
