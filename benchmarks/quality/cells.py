"""Measures one cell of the quality benchmark: trains a system and scores its replies."""

from __future__ import annotations

import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.quality.data import DataSet, Question, general_texts
from benchmarks.quality.peft_systems import PeftSystem
from benchmarks.quality.settings import GRAFT_QUESTIONS, GRAFTS, PEERS, TEST_QUESTIONS, TRAIN_QUESTIONS, Cell
from benchmarks.quality.systems import REPLY_TOKENS, GraftSystem, PromptSystem, Setup
from benchmarks.script import utc_now
from evaluation.items import spread
from evaluation.text_scores import contains_answer, exact_match, token_f1
from soft_prompt import Backbone

GENERAL_TEXTS = 40


def measure(cell: Cell, data: Path, work: Path, seconds: float) -> dict[str, Any]:
    """Train one system for the CPU seconds and answer the test questions, on one thread."""
    torch.set_num_threads(1)
    source = DataSet(cell.data, data, work)
    backbone = Backbone.load()
    system = make_system(cell, source, Setup(backbone, source.slot, source.twin, work / "passages", cell.seed))
    settings = GRAFTS.get(cell.system)
    train = source.questions("train", cell.evidence, TRAIN_QUESTIONS)
    test = source.questions("test", cell.evidence, TEST_QUESTIONS)
    summary = system.train(spread(train, GRAFT_QUESTIONS[cell.evidence]) if settings else train, seconds)
    start = time.perf_counter()
    replies = system.reply(test, REPLY_TOKENS[cell.data])
    reply_seconds = time.perf_counter() - start
    result = {
        **asdict(cell),
        "dtype": str(backbone.dtype).removeprefix("torch."),
        "trained": asdict(summary) if summary else None,
        "parameters": system.parameters,
        "bytes": system.bytes,
        "reply_seconds": round(reply_seconds / len(test), 3),
        "evidence_holds_answer": sum(q.answerable for q in test) / len(test),
        "scores": score_replies(test, replies),
        "replies": replies[:5],
        "settings": asdict(settings) if settings else None,
    }
    if cell.evidence == "gold":
        result["general_perplexity"] = round(math.exp(system.text_loss(general_texts(data, GENERAL_TEXTS))), 4)
        if cell.data == "covidqa":
            # The effect of a prompt of one domain on questions of another.
            other = DataSet("squad", data, work).questions("test", "gold", TEST_QUESTIONS)
            result["squad"] = score_replies(other, system.reply(other, REPLY_TOKENS["squad"]))
    return {**result, "finished": utc_now()}


def make_system(cell: Cell, source: DataSet, setup: Setup) -> PromptSystem | PeftSystem:
    """The system of a cell, untrained."""
    if cell.system in PEERS:
        return PeftSystem(cell.system, setup)
    if cell.system in GRAFTS:
        return GraftSystem(setup, GRAFTS[cell.system])
    if cell.system == "few-shot":
        return PromptSystem(setup, source.twin, source.few_shot(cell.evidence))
    return PromptSystem(setup, source.twin if cell.system == "text-twin" else None)


def score_replies(questions: list[Question], replies: list[str]) -> dict[str, list[float]]:
    """Token F1, exact match, and whether the reply contains a short answer, per question."""
    pairs = [(reply, q.item.answers) for reply, q in zip(replies, questions, strict=True)]
    metrics = {"f1": token_f1, "exact": exact_match, "accuracy": contains_answer}
    return {name: [round(metric(reply, answers), 4) for reply, answers in pairs] for name, metric in metrics.items()}
