"""Distillation from another local model, and questions that have no answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from house_domain import TRAIN, questions, write_items

from soft_prompt import Backbone, TrainingError
from softgraft import Domain, open_domain
from softgraft.commands.train import report_lines
from softgraft.errors import DomainError

pytestmark = pytest.mark.heavy
MakeDomain = Callable[..., Domain]


def settings(**more: Any) -> dict[str, Any]:
    return {**TRAIN, "method": "distillation", **more}


def without_answers(domain: Domain, split: str) -> None:
    rows = [{**row, "response": "", "answers": []} for row in questions(split)]
    write_items(domain.folder / f"{split}.jsonl", rows)


def test_a_larger_model_teaches(make_domain: MakeDomain, backbone_folders: tuple[Path, Path]) -> None:
    domain = make_domain("west", ingest=True, start="text-twin", train=settings(teacher=str(backbone_folders[1])))
    grafting = domain.grafting()
    data = grafting.training_set(domain.items("train"), domain.items("dev"))
    own = grafting.teacher.targets(data.train)
    alone = domain.grafting(domain.file.train.model_copy(update={"teacher": None})).teacher.targets(data.train)
    for of_other, of_start in zip(own, alone, strict=True):
        assert of_other is not None
        assert of_start is not None
        # Another model finds other tokens likely, at as many places.
        assert of_other.ids.shape == of_start.ids.shape
        assert of_other.ids.tolist() != of_start.ids.tolist()
    report = domain.train()
    assert (report.kept, report.taught) == (True, 0)


def test_a_teacher_answers_the_questions_that_have_no_answer(
    make_domain: MakeDomain, backbone_folders: tuple[Path, Path]
) -> None:
    domain = make_domain("west", ingest=True, start="text-twin", train=settings(teacher=str(backbone_folders[1])))
    without_answers(domain, "train")
    domain.ingest()
    plain = domain.grafting(domain.file.train.model_copy(update={"method": "plain", "teacher": None}))
    assert plain.training_set(domain.items("train"), domain.items("dev")).train == []
    data = domain.grafting().training_set(domain.items("train"), domain.items("dev"))
    assert data.taught == len(data.train) == len(questions("train"))
    assert all(item.response and item.response != "12" for _, item in data.train)
    # Those of dev have answers, which stay.
    assert {item.target for _, item in data.dev} == {"12"}
    report = domain.train()
    assert report.taught == 4
    assert "4 questions without an answer were answered by the teacher" in "\n".join(report_lines(report, "questions"))


def test_a_teacher_with_other_tokens_is_refused(
    make_domain: MakeDomain, backbone_folders: tuple[Path, Path], tmp_path: Path
) -> None:
    other = tmp_path / "other-tokens"
    backbone = Backbone.load(str(backbone_folders[0]))
    backbone.tokenizer.add_tokens(["<|one-more|>"])
    backbone.model.save_pretrained(other)
    backbone.tokenizer.save_pretrained(other)
    domain = make_domain("west", ingest=True, start="text-twin", train=settings(teacher=str(other)))
    with pytest.raises(TrainingError, match="with another vocabulary than"):
        domain.train()
    assert not (domain.build / "soft_prompt").exists()


def test_a_teacher_needs_distillation(make_domain: MakeDomain) -> None:
    domain = make_domain("west")
    path = domain.folder / "domain.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("train:", "train:\n  teacher: openai:large", 1), encoding="utf-8")
    with pytest.raises(DomainError, match="teacher with `method: plain`"):
        open_domain(domain.folder)
