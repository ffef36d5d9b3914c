"""The form of the answers: set, chosen on dev, or the usual one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from evaluation.items import Item
from evaluation.systems import ScoredAnswer, SystemAnswers
from softgraft import Domain
from softgraft.assembly.answer_form import FORM, answer_form, choose_form, load_form, save_form
from softgraft.errors import DomainError
from softgraft.settings.domain_file import DomainFile


def answers(name: str, accuracy: list[float], f1: list[float], short: bool = True) -> SystemAnswers:
    items = [Item(id=str(n), question="?", answers=("yes",) if short else (), response="r") for n in range(len(f1))]
    scored = [
        ScoredAnswer(item, "", a, None, f, False, True, 3, 0, 0) for item, a, f in zip(items, accuracy, f1, strict=True)
    ]
    return SystemAnswers(name, tuple(scored), 0.1)


def test_the_most_accurate_form_is_chosen() -> None:
    chosen = choose_form(
        {
            "generate": answers("generate", [1, 0, 0, 0], [0.9, 0.9, 0.9, 0.9]),
            "both": answers("both", [1, 1, 1, 0], [0.4, 0.4, 0.4, 0.4]),
            "quote": answers("quote", [0, 1, 0, 0], [0.3, 0.3, 0.3, 0.3]),
        },
        "abc",
    )
    assert (chosen.form, chosen.soft_prompt, chosen.questions) == ("both", "abc", 4)
    assert chosen.scores["both"].accuracy == 0.75
    assert (chosen.metric, list(chosen.ranked().items())) == (
        "accuracy", [("both", 0.75), ("generate", 0.25), ("quote", 0.25)],
    )  # fmt: skip


def test_a_difference_of_one_question_is_decided_by_f1() -> None:
    chosen = choose_form(
        {
            "generate": answers("generate", [1, 1, 0, 0], [0.9, 0.9, 0.9, 0.9]),
            "both": answers("both", [1, 1, 1, 0], [0.4, 0.4, 0.4, 0.4]),
        },
        "abc",
    )
    assert chosen.form == "generate"


def test_without_short_answers_f1_decides() -> None:
    chosen = choose_form(
        {
            "both": answers("both", [0, 0], [0.4, 0.4], short=False),
            "quote": answers("quote", [0, 0], [0.9, 0.9], short=False),
        },
        "abc",
    )
    assert (chosen.form, chosen.scores["quote"].accuracy) == ("quote", None)
    assert (chosen.metric, chosen.ranked()) == ("token F1", {"quote": pytest.approx(0.9), "both": pytest.approx(0.4)})


@pytest.mark.parametrize(
    ("backbone", "form", "expected"),
    [("embedded", "auto", "quote"), ("openai:gpt-4o-mini", "auto", "generate"), ("embedded", "both", "both")],
)
def test_the_form_without_a_soft_prompt(tmp_path: Path, backbone: str, form: str, expected: str) -> None:
    file = DomainFile.model_validate({"name": "shop", "title": "Shop", "backbone": backbone, "answer": {"form": form}})
    assert answer_form(file, tmp_path) == expected


def test_a_choice_is_stored_and_damage_is_reported(tmp_path: Path) -> None:
    path = tmp_path / FORM
    assert load_form(path) is None
    chosen = choose_form({"quote": answers("quote", [1], [1])}, "abc")
    save_form(chosen, path)
    assert load_form(path) == chosen
    path.write_text("{", encoding="utf-8")
    with pytest.raises(DomainError, match=r"holds no form of answers.*delete"):
        load_form(path)


def test_a_domain_that_quotes_has_a_chat_model_too(make_domain: Callable[..., Domain]) -> None:
    domain = make_domain(ingest=True, answer={"max_tokens": 6})
    result = domain.chain.invoke({"question": "What does a replacement card cost?"})
    assert (result["form"], result["supported"]) == ("quote", True)
    # Quoting needs no backbone.
    assert "store" not in domain.__dict__
    assert domain.chat_model.invoke("What does a card cost?").text
