"""An evaluation from questions to report."""

from __future__ import annotations

from typing import Any

import pytest

from chains import LocalSpeaker, SoftPromptChat
from evaluation import Item, Report, System, SystemAnswers, evaluate, exact_match, token_f1
from prompts import TemplateFile, find_template
from retrieval import Index
from soft_prompt import PrefixStore, from_text_twin
from tests.support.small_bank import REFUSAL, SCALE, ScriptedChat, make_answering

TOLD = {
    "What does a replacement card cost?": "A replacement card costs 12 euros.",
    "And overseas?": "A transfer overseas costs 15 euros.",
    "Do you treat horses?": "Yes, we do.",
}
CLOSED = TemplateFile(find_template("closed-book"))


def answers_of(found: list[SystemAnswers], system: str) -> dict[str, Any]:
    [answers] = [answers for answers in found if answers.system == system]
    return {answer.item.id: answer for answer in answers.answers}


def test_a_model_that_knows_everything(index: Index, items: list[Item]) -> None:
    chat = ScriptedChat(answer=TOLD.__getitem__)
    gated = make_answering(index, chat, scale=SCALE)
    systems = [
        System("base", make_answering(index, chat, template=CLOSED), "none"),
        System("soft", gated, "retrieved"),
        System("soft-gold", gated, "gold"),
    ]
    heard: list[tuple[str, int, int]] = []
    report, found = evaluate(items, systems, None, {"seed": 0}, on_progress=lambda *told: heard.append(told))
    assert [row.system for row in report.rows] == ["base", "soft", "soft-gold"]
    for row in report.rows:
        assert row.questions == 3
        assert row.accuracy is not None
        assert row.accuracy.mean == 1
    base, soft, gold = report.rows
    # The gate refuses what the documents do not say; without one the model invents.
    assert (base.refusal_accuracy, soft.refusal_accuracy, gold.refusal_accuracy) == (0, 1, 1)
    assert (base.wrong_refusals, soft.wrong_refusals, gold.wrong_refusals) == (0, 0, 0)
    assert (base.citation_precision, soft.citation_precision, gold.citation_precision) == (None, 1, 1)
    assert answers_of(found, "soft")["3"].reply == REFUSAL
    assert answers_of(found, "soft")["3"].f1 == 1
    assert answers_of(found, "base")["3"].f1 == 0
    assert report.retrieval is not None
    assert (report.retrieval.questions, report.retrieval.recall_at_5) == (2, 1)
    assert [(found.ours, found.theirs) for found in report.comparisons] == [("soft", "base"), ("soft", "soft-gold")]
    assert report.comparisons[0].token_f1 is not None
    assert report.comparisons[0].token_f1.mean == pytest.approx(1 / 3)
    assert report.config == {"seed": 0}
    for system in ("base", "soft", "soft-gold"):
        told = [entry[1:] for entry in heard if entry[0] == system]
        assert told[0] == (0, 3)
        assert told[-1] == (3, 3)


def test_the_follow_up_is_searched_with_its_history(index: Index, items: list[Item]) -> None:
    chat = ScriptedChat(answer=TOLD.__getitem__)
    evaluate([items[1]], [System("template", make_answering(index, chat), "retrieved")], None, {})
    [messages] = chat.seen
    assert [str(message.content) for message in messages[1:]] == [*items[1].history[0], "And overseas?"]
    assert "A transfer overseas costs 15 euros." in str(messages[0].content)


def test_gold_evidence_is_the_passage_that_holds_the_answer(index: Index, items: list[Item]) -> None:
    chat = ScriptedChat(answer=TOLD.__getitem__)
    unquoted = items[1].model_copy(update={"id": "4", "quote": ""})
    evaluate([*items, unquoted], [System("soft-gold", make_answering(index, chat), "gold")], None, {})
    first, second, third = (str(messages[0].content) for messages in chat.seen)
    assert items[0].quote in first
    assert "abroad" not in first.split("12 euros")[0].split("passages.")[1]
    assert items[1].quote in second
    # Without a quote the passage that shows a short answer stands in; the unanswerable one was never asked.
    assert second == third


def test_no_row_without_questions_to_score(index: Index) -> None:
    chat = ScriptedChat()
    items = [Item(id="1", question="What does a card cost?")]
    report, _ = evaluate(items, [System("template", make_answering(index, chat), "retrieved")], None, {})
    [row] = report.rows
    assert (row.token_f1, row.exact_match, row.accuracy) == (None, None, None)
    assert report.retrieval is None
    assert report.comparisons == ()


def test_the_systems_over_a_frozen_backbone(index: Index, items: list[Item], store: PrefixStore) -> None:
    template = TemplateFile(find_template("rag-chat"))
    twin = template.current().text_twin("domain")
    soft = from_text_twin(store.backbone, "domain", twin)

    def system(name: str, fills: dict[str, Any], source: Any, file: TemplateFile = template) -> System:
        speaker = LocalSpeaker(SoftPromptChat(store=store, fills=fills, graft=name, max_tokens=8))
        return System(name, make_answering(index, speaker, template=file, evidence_tokens=40), source)

    systems = [
        system("base", {"domain": None}, "none", CLOSED),
        system("template", {"domain": None}, "retrieved"),
        system("text-twin", {"domain": twin}, "retrieved"),
        system("soft", {"domain": soft}, "retrieved"),
        system("soft-gold", {"domain": soft}, "gold"),
    ]
    report, found = evaluate(items, systems, None, {})
    assert [row.system for row in report.rows] == [entry.name for entry in systems]
    # An untrained soft prompt is its text twin, so nothing lies between the two.
    [pair] = [pair for pair in report.comparisons if pair.theirs == "text-twin"]
    assert pair.token_f1 is not None
    assert (pair.token_f1.low, pair.token_f1.high) == (0, 0)
    for answers in found:
        assert answers.seconds > 0
        for answer in answers.answers:
            assert answer.f1 == token_f1(answer.reply, answer.item.references)
            assert answer.exact == exact_match(answer.reply, (*answer.item.references, *answer.item.answers))
            assert (answer.accuracy is None) == (not answer.item.answerable or not answer.item.answers)
    assert answers_of(found, "soft-gold")["3"].reply == REFUSAL
    assert isinstance(report, Report)
