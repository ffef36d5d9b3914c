"""The cells of the quality benchmark: what is measured, and how one is."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.quality.data import DATA_SETS, DataSet, Evidence, Question, Split, general_texts
from benchmarks.quality.peft import ALORA, FULL, LORA, PROMPT_TUNING, PeftSystem
from benchmarks.quality.systems import REPLY_TOKENS, Graft, System, Untrained, Where
from benchmarks.quality.ways import GRAFTS, PEER_WAYS, WAYS
from evaluation.text_scores import contains_answer, exact_match, token_f1
from soft_prompt import Backbone

EVIDENCE: tuple[Evidence, ...] = ("gold", "retrieved")
UNTRAINED = ("template", "text-twin", "few-shot")
PEERS = (LORA, ALORA, PROMPT_TUNING, FULL)
SYSTEMS = (*UNTRAINED, *PEERS, *GRAFTS)
# Those that several seeds are given.
SEEDED = ("embedding", "kv", "adapter", "kv+adapter", "adapter ia3", LORA)
GENERAL = 40
ALL_GRAFTS = GRAFTS | WAYS


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """One measurement."""

    data: str
    evidence: Evidence
    system: str
    seed: int

    @property
    def key(self) -> str:
        """Its name in the results."""
        return f"{self.data}/{self.evidence}/{self.system}/{self.seed}"


@dataclass(frozen=True, slots=True)
class Budget:
    """How much a cell is given.

    Attributes:
        gold_seconds, retrieved_seconds: of training, on one thread.
        train, test: questions; on dev as many as on test, or all there are.
    """

    gold_seconds: float = 120
    retrieved_seconds: float = 180
    train: int = 400
    test: int = 120

    def seconds(self, evidence: Evidence) -> float:
        """Of training behind that evidence."""
        return self.gold_seconds if evidence == "gold" else self.retrieved_seconds


def ways_cells(seeds: int) -> list[Cell]:
    """Ways that are compared on dev."""
    ways = (*GRAFTS, *WAYS, *PEER_WAYS)
    return [Cell(data, evidence, way, seed) for seed in range(seeds) for evidence in EVIDENCE for data in DATA_SETS
            for way in ways]  # fmt: skip


def all_cells(seeds: int) -> list[Cell]:
    """Every cell, those that matter most first."""
    found = []
    for seed in range(seeds):
        for evidence in EVIDENCE:
            for system in SYSTEMS:
                if seed and system not in SEEDED:
                    continue
                # One passage alone is the same in both kinds of attention.
                if evidence == "gold" and system.endswith("-block"):
                    continue
                # The dearest is measured on gold alone.
                if evidence == "retrieved" and system == FULL:
                    continue
                found += [Cell(data, evidence, system, seed) for data in DATA_SETS]
    return found


def measure(cell: Cell, source: Path, work: Path, budget: Budget, split: Split = "test") -> dict[str, Any]:
    """Train one system and answer the questions of a split."""
    data = DataSet(cell.data, source / cell.data, work)
    backbone = Backbone.load()
    where = Where(backbone, data.slot, data.twin, work / "passages", cell.seed)
    system = make(cell, data, where)
    settings = ALL_GRAFTS[cell.system].behind(cell.evidence) if cell.system in ALL_GRAFTS else None
    train = data.questions("train", cell.evidence, budget.train, settings.passages if settings else None)
    test = data.questions(split, cell.evidence, budget.test)
    trained = system.train(train, budget.seconds(cell.evidence))
    began = time.perf_counter()
    replies = system.reply(test, REPLY_TOKENS[cell.data])
    seconds = time.perf_counter() - began
    result = {
        **asdict(cell),
        "dtype": str(backbone.dtype).removeprefix("torch."),
        "trained": asdict(trained) if trained else None,
        "parameters": system.parameters,
        "bytes": system.bytes,
        "reply_seconds": round(seconds / len(test), 3),
        "evidence_holds_answer": sum(q.found for q in test) / len(test),
        "scores": scores(test, replies),
        "replies": replies[:5],
        "settings": asdict(settings) if settings else None,
    }
    if cell.evidence == "gold" and split == "test":
        texts = general_texts(source, GENERAL)
        result["general_perplexity"] = round(math.exp(system.text_loss(texts)), 4)
        if cell.data == "covidqa":
            # What a prompt of one domain does to questions of another.
            other = DataSet("squad", source / "squad", work).questions("test", "gold", budget.test)
            result["squad"] = scores(other, system.reply(other, REPLY_TOKENS["squad"]))
    return {**result, "finished": datetime.now(UTC).isoformat()}


def make(cell: Cell, data: DataSet, where: Where) -> System:
    """A system of `SYSTEMS`, untrained."""
    if cell.system in PEERS:
        return PeftSystem(cell.system, where)
    if cell.system in PEER_WAYS:
        method, rate = PEER_WAYS[cell.system]
        return PeftSystem(method, where, rate)
    if cell.system in ALL_GRAFTS:
        return Graft(where, ALL_GRAFTS[cell.system].behind(cell.evidence))
    makers: dict[str, Callable[[], Untrained]] = {
        "template": lambda: Untrained(where, None),
        "text-twin": lambda: Untrained(where, data.twin),
        "few-shot": lambda: Untrained(where, data.twin, data.few_shot(cell.evidence)),
    }
    return makers[cell.system]()


def scores(questions: list[Question], replies: list[str]) -> dict[str, list[float]]:
    """Token F1, exact match and a short answer standing in the reply, a number a question."""
    pairs = [(reply, q.item.answers) for reply, q in zip(replies, questions, strict=True)]
    measures = {"f1": token_f1, "exact": exact_match, "accuracy": contains_answer}
    return {name: [round(of(reply, answers), 4) for reply, answers in pairs] for name, of in measures.items()}
