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
from benchmarks.quality.settings import ALL_GRAFTS, PEER_VARIANTS, PEERS, Budget, Cell, Split
from benchmarks.quality.systems import REPLY_TOKENS, GraftSystem, QualitySystem, Setup, UntrainedSystem
from benchmarks.script import utc_now
from evaluation.text_scores import contains_answer, exact_match, token_f1
from soft_prompt import Backbone

GENERAL_TEXTS = 40


def measure(cell: Cell, data: Path, work: Path, budget: Budget, split: Split) -> dict[str, Any]:
    """Train one system and answer the questions of a split, on one thread."""
    torch.set_num_threads(1)
    source = DataSet(cell.data, data, work)
    backbone = Backbone.load()
    setup = Setup(backbone, source.slot, source.twin, work / "passages", cell.seed)
    system = make_system(cell, source, setup)
    settings = ALL_GRAFTS[cell.system].for_evidence(cell.evidence) if cell.system in ALL_GRAFTS else None
    train = source.questions("train", cell.evidence, budget.train, settings.max_passages if settings else None)
    test = source.questions(split, cell.evidence, budget.test)
    summary = system.train(train, budget.seconds(cell.evidence))
    start = time.perf_counter()
    replies = system.reply(test, REPLY_TOKENS[cell.data])
    seconds = time.perf_counter() - start
    result = {
        **asdict(cell),
        "dtype": str(backbone.dtype).removeprefix("torch."),
        "trained": asdict(summary) if summary else None,
        "parameters": system.parameters,
        "bytes": system.bytes,
        "reply_seconds": round(seconds / len(test), 3),
        "evidence_holds_answer": sum(q.answerable for q in test) / len(test),
        "scores": score_replies(test, replies),
        "replies": replies[:5],
        "settings": asdict(settings) if settings else None,
    }
    if cell.evidence == "gold" and split == "test":
        result["general_perplexity"] = round(math.exp(system.text_loss(general_texts(data, GENERAL_TEXTS))), 4)
        if cell.data == "covidqa":
            # The effect of a prompt of one domain on questions of another.
            other = DataSet("squad", data, work).questions("test", "gold", budget.test)
            result["squad"] = score_replies(other, system.reply(other, REPLY_TOKENS["squad"]))
    return {**result, "finished": utc_now()}


def make_system(cell: Cell, source: DataSet, setup: Setup) -> QualitySystem:
    """The system of a cell, untrained."""
    name = cell.system
    if name in PEERS:
        return PeftSystem(name, setup)
    if name in PEER_VARIANTS:
        return PeftSystem(PEER_VARIANTS[name][0], setup, PEER_VARIANTS[name][1])
    if name in ALL_GRAFTS:
        return GraftSystem(setup, ALL_GRAFTS[name].for_evidence(cell.evidence))
    if name == "few-shot":
        return UntrainedSystem(setup, source.twin, source.few_shot(cell.evidence))
    return UntrainedSystem(setup, source.twin if name == "text-twin" else None)


def score_replies(questions: list[Question], replies: list[str]) -> dict[str, list[float]]:
    """Token F1, exact match, and whether the reply contains a short answer, per question."""
    pairs = [(reply, q.item.answers) for reply, q in zip(replies, questions, strict=True)]
    metrics = {"f1": token_f1, "exact": exact_match, "accuracy": contains_answer}
    return {name: [round(metric(reply, answers), 4) for reply, answers in pairs] for name, metric in metrics.items()}
