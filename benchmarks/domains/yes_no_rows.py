"""The rows of `benchmarks.domains.yes_no`."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.script import ROOT, utc_now
from benchmarks.tables import estimate
from chains import LocalSpeaker, SoftPromptChat
from chains.tasks.labels import LabelScorer, prior_bias
from chains.tasks.verbalizer import Verbalizer
from evaluation import Item, contains_answer, read_items
from evaluation.questions.closed_answers import ClosedAnswers, closed_answers
from prompts import find_template
from softgraft import Domain, open_domain
from softgraft.training.task import ChatTraining, Prompted

QUESTIONS = Path(__file__).with_name("bank_yes_no.jsonl")
TWIN = "Answer the question from the passages above with one word, yes or no."
# Share of the documents whose questions are dev.
DEV_DOCUMENTS = 1 / 3


def split(items: Sequence[Item]) -> tuple[list[Item], list[Item]]:
    """Train and dev, which share no document."""
    documents = sorted({item.doc_id for item in items})
    random.Random(0).shuffle(documents)
    held_out = set(documents[: round(DEV_DOCUMENTS * len(documents))])
    return [i for i in items if i.doc_id not in held_out], [i for i in items if i.doc_id in held_out]


def measure(work: Path, seeds: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Yield each row when it is measured."""
    train, dev = split(read_items(QUESTIONS))
    closed = closed_answers(train)
    assert closed is not None
    with closing(_domain(work)) as domain:
        domain.ingest()
        training = ChatTraining(domain.answering("text-twin"))
        # The gold passage is added where retrieval missed it: the rows differ in how they answer alone.
        train_prompts, dev_prompts = (training.prompted(items, teach=True)[0] for items in (train, dev))
        gold = [item for _, item in dev_prompts]
        yield _row("majority", [closed.majority] * len(gold), gold)
        yield from _answers("text-twin", domain.chat("text-twin"), closed, train_prompts, dev_prompts)
        for seed in seeds:
            # A soft prompt of an earlier seed would stay if this one is not kept.
            shutil.rmtree(domain.build / "soft_prompt", ignore_errors=True)
            settings = domain.file.train.model_copy(update={"seed": seed})
            grafting = domain.grafting(settings)
            report = grafting.train(replace(grafting.training_set((), ()), train=train_prompts, dev=dev_prompts)).report
            name = f"soft-{seed}" + ("" if report.kept else ", not kept")
            if report.kept:
                for row in _answers(name, domain.chat("soft"), closed, train_prompts, dev_prompts):
                    yield {**row, "steps": report.steps, "best_epoch": report.best_epoch, "epochs": report.epochs}


def _domain(work: Path) -> Domain:
    """The documents of `bank` with the task of short answers."""
    folder = work / "bank"
    if not (folder / "domain.yaml").is_file():
        shutil.copytree(ROOT / "domains" / "bank" / "docs", folder / "docs")
        text = "name: bank\ntitle: Larkmoor Bank\ntask: extractive-qa\n"
        (folder / "domain.yaml").write_text(text, encoding="utf-8")
        template = yaml.safe_load(find_template("extractive-qa").read_text(encoding="utf-8"))
        template["soft_slots"]["domain"] = TWIN
        (folder / "templates").mkdir()
        text = yaml.safe_dump(template, sort_keys=False)
        (folder / "templates" / "extractive-qa.en.yaml").write_text(text, encoding="utf-8")
    return open_domain(folder)


def _answers(
    name: str, chat: SoftPromptChat, closed: ClosedAnswers, train: Prompted, dev: Prompted
) -> Iterator[dict[str, Any]]:
    """The row of generated replies, and those of likelihoods."""
    gold = [item for _, item in dev]
    yield _row(name, LocalSpeaker(chat).reply_many([prompt for prompt, _ in dev]), gold)
    scorer = LabelScorer(chat, Verbalizer({answer: answer for answer in closed.answers}))
    of_train, of_dev = (scorer.scores([prompt for prompt, _ in part], within=None) for part in (train, dev))
    frequencies = np.array(closed.counts) / sum(closed.counts)
    for method, bias in (("likelihood", np.zeros(len(closed.answers))), ("prior", prior_bias(of_train, frequencies))):
        best = (of_dev + np.array(bias)).argmax(axis=1)
        yield _row(f"{name}, {method}", [closed.answers[number] for number in best], gold)


def _row(name: str, replies: Sequence[str], gold: Sequence[Item]) -> dict[str, Any]:
    correct = [contains_answer(reply, item.answers) for reply, item in zip(replies, gold, strict=True)]
    yes = sum(contains_answer(reply, ["yes"]) for reply in replies) / len(replies)
    return {
        "row": name, "accuracy": estimate(correct), "yes": yes, "correct": correct, "replies": list(replies),
        "finished": utc_now(),
    }  # fmt: skip
