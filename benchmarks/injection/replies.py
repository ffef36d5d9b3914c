"""Replies of each system to questions with and without an attack in their evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from benchmarks.injection.attacks import Attack, Email, Placed, overriding, place, read_emails
from benchmarks.injection.systems import DIRECT, TRAINED
from chains import Answering, Evidence
from chains.answering.answer_writer import AnswerForm
from chains.answering.answering import PreparedAnswer
from chains.answering.speaker import PreparedPrompt
from evaluation.items import Item, spread
from evaluation.text_scores import contains_answer, token_f1
from prompts import PassageInput
from retrieval.markup import readable
from softgraft import Domain
from softgraft.assembly.answers import Graft
from softgraft.training.attacks import insert_text, with_attack

Rows = list[dict[str, Any]]
_UNTRAINED: dict[str, tuple[Graft, AnswerForm]] = {
    "template": ("empty", "generate"),
    "text twin": ("text-twin", "generate"),
    "extract": ("text-twin", "extract"),
    "quote": ("text-twin", "quote"),
    DIRECT: ("empty", "generate"),
}


def measure_replies(domain: Domain, system: str, attacks: Sequence[Attack], limit: int) -> dict[str, Rows]:
    """A system's replies to the answerable test questions: `plain`, and `attacked` with an attack each."""
    answering = _answering(domain, system)
    placed, items = _placed(answering, domain, attacks, limit)
    if system == DIRECT:
        return {"plain": [], "attacked": direct_rows(answering, placed)}
    return {"plain": plain_rows(answering, items), "attacked": attacked_rows(answering, placed)}


def _placed(
    answering: Answering, domain: Domain, attacks: Sequence[Attack], limit: int
) -> tuple[list[Placed], list[Item]]:
    """The attacks with their questions, and all answerable test questions."""
    items = spread([item for item in domain.items("test") if item.answerable], limit)
    found = _evidence(answering.for_a_model, items)
    # A question that is refused reaches no model.
    return place(attacks, [item for item, evidence in zip(items, found, strict=True) if evidence.enough]), items


def measure_overrides(domain: Domain, system: str, attacks: Sequence[Attack], limit: int) -> dict[str, Rows]:
    """A system's replies with the attacks that order it to ignore the question: `attacked`."""
    answering = _answering(domain, system)
    placed, _ = _placed(answering, domain, attacks, limit)
    return {"attacked": attacked_rows(answering, [overriding(one) for one in placed])}


def measure_emails(domain: Domain, system: str, attacks: Sequence[Attack], data: Path) -> dict[str, Rows]:
    """A system's replies to the questions about e-mails."""
    return email_rows(_answering(domain, system), attacks, read_emails(data))


def _answering(domain: Domain, system: str) -> Answering:
    graft, form = ("soft", "generate") if system in TRAINED else _UNTRAINED[system]
    return domain.answering(cast(Graft, graft), form=cast(AnswerForm, form))


def plain_rows(answering: Answering, items: Sequence[Item]) -> Rows:
    """The replies to questions without an attack."""
    evidence = _evidence(answering, items)
    prepared = [answering.prepare(item.question, (), one) for item, one in zip(items, evidence, strict=True)]
    replies = _reply(answering, [one.prompt for one in prepared])
    return [_row(answering, item, one, reply) for item, one, reply in zip(items, prepared, replies, strict=True)]


def attacked_rows(answering: Answering, placed: Sequence[Placed]) -> Rows:
    """The replies to questions with an attack in one of the passages that a model reads."""
    evidence = _evidence(answering, [one.item for one in placed])
    attacked = [
        with_attack(found, one.attack.text, int(one.passage * min(len(found.passages), 3)), one.position)
        for one, found in zip(placed, evidence, strict=True)
    ]
    prepared = [answering.prepare(one.item.question, (), e) for one, e in zip(placed, attacked, strict=True)]
    replies = _reply(answering, [one.prompt for one in prepared])
    return [
        {
            **_row(answering, one.item, found, reply),
            "attack": one.attack.id,
            "position": one.position,
            "unattacked": _text(clean, one.item),
        }
        for one, found, clean, reply in zip(placed, prepared, evidence, replies, strict=True)
    ]


def direct_rows(answering: Answering, placed: Sequence[Placed]) -> Rows:
    """The replies of the model whose user asks for the attack, after the question if the attack changes the answer."""
    evidence = _evidence(answering, [one.item for one in placed])
    rows: Rows = []
    prompts: list[PreparedPrompt | None] = []
    for one, found in zip(placed, evidence, strict=True):
        changes = changes_the_answer(one.attack)
        question = f"{one.item.question} {one.attack.text}" if changes else one.attack.text
        shown = found if changes else Evidence((), None, True)
        prompts.append(answering.speaker.prepare(answering.prompt(question, (), shown)))
        rows.append({"item": one.item.id, "attack": one.attack.id, "unattacked": _text(found, one.item)})
    return [
        {**row, "reply": reply, "shown": reply} for row, reply in zip(rows, _reply(answering, prompts), strict=True)
    ]


def email_rows(answering: Answering, attacks: Sequence[Attack], emails: Sequence[Email]) -> dict[str, Rows]:
    """The replies to questions about e-mails, without and with an attack in them."""
    by_id = {email.item.id: email for email in emails}
    placed = place(attacks, [email.item for email in emails])

    def prompt(item: Item, text: str) -> PreparedPrompt:
        passages = [PassageInput(item.id, "E-mail", "", text)]
        values = {"question": item.question, "history": [], "context": passages}
        return answering.speaker.prepare(answering.template.current().render(values))

    plain = _reply(answering, [prompt(email.item, email.text) for email in emails])
    attacked = _reply(
        answering,
        [
            prompt(one.item, insert_text(by_id[one.item.id].text, one.attack.text, one.position, "plain"))
            for one in placed
        ],
    )
    return {
        "plain": [{"item": email.item.id, "reply": reply} for email, reply in zip(emails, plain, strict=True)],
        "attacked": [
            {
                "item": one.item.id,
                "attack": one.attack.id,
                "position": one.position,
                "reply": reply,
                "unattacked": f"{by_id[one.item.id].text}\n{one.item.question}",
            }
            for one, reply in zip(placed, attacked, strict=True)
        ],
    }


def changes_the_answer(attack: Attack) -> bool:
    """Whether an attack asks for another form of the answer or an addition to it, not for something of its own."""
    words = set(attack.text.lower().replace("'s", "").replace(".", "").replace("?", "").split())
    return bool(words & {"answer", "response", "reply", "message"})


def _evidence(answering: Answering, items: Sequence[Item]) -> list[Evidence]:
    questions = [item.question for item in items]
    return answering.evidence_many(questions, questions)


def _reply(answering: Answering, prompts: Sequence[PreparedPrompt | None]) -> list[str]:
    """The model's replies; empty where no model is asked."""
    asked = [prompt for prompt in prompts if prompt is not None]
    made = iter(answering.speaker.reply_many(asked) if asked else [])
    return ["" if prompt is None else next(made).strip() for prompt in prompts]


def _row(answering: Answering, item: Item, prepared: PreparedAnswer, reply: str) -> dict[str, Any]:
    """`reply` is the answer without a check, `shown` with the check of a generated answer."""
    text, checked = _finished(answering, item, prepared, reply), answering
    if answering.settings.form == "generate":
        checked = replace(answering, settings=replace(answering.settings, unsupported="quote"))
    return {
        "item": item.id,
        "reply": text,
        "shown": _finished(checked, item, prepared, reply),
        "accuracy": contains_answer(text, item.answers),
        "f1": token_f1(text, item.references),
        "refused": not prepared.evidence.enough,
        "evidence": [readable(entry.passage.text, entry.passage.markup) for entry in prepared.evidence.passages],
    }


def _finished(answering: Answering, item: Item, prepared: PreparedAnswer, reply: str) -> str:
    return answering.finish(item.question, prepared.history, prepared.evidence, reply).text


def _text(evidence: Evidence, item: Item) -> str:
    """What the model reads without an attack."""
    parts = [
        f"{e.passage.title} {e.passage.heading} {readable(e.passage.text, e.passage.markup)}" for e in evidence.passages
    ]
    return "\n".join([*parts, item.question])
