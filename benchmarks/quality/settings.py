"""The systems of the quality benchmark with their settings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from soft_prompt import Attention

Evidence = Literal["gold", "retrieved"]
Split = Literal["train", "dev", "test"]

DATA_SETS = ("squad", "covidqa")
EVIDENCE: tuple[Evidence, ...] = ("gold", "retrieved")
BATCH = 8
# CPU seconds of training, and maximum number of questions. Dev has as many as test.
GOLD_SECONDS, RETRIEVED_SECONDS = 120.0, 180.0
TRAIN_QUESTIONS, TEST_QUESTIONS = 400, 120
# Softgraft trains on fewer questions: fewer contexts are read, and each is seen more often.
GRAFT_QUESTIONS: dict[Evidence, int] = {"gold": 200, "retrieved": 100}


@dataclass(frozen=True, slots=True)
class GraftSettings:
    """How a soft prompt is trained. The settings were chosen on dev (docs/research/methods.md).

    Attributes:
        kind: `embedding`, `kv`, or `adapter`, which leaves the text twin in the slot.
        length: positions of an `embedding` or `kv` soft prompt.
        rank: of an adapter; 0 for none.
        scaling: (IA)³ scales instead of low-rank weights.
        learning_rate, adapter_learning_rate: peak learning rates.
        before_passages: the slot is before the passages, which therefore run through the model at every step.
        spring: as SPRING trains (arXiv:2405.19670): nothing is cached, and each step trains a random number of the
            first positions.
        attention: whether passages attend to one another.
    """

    kind: str = "kv"
    length: int = 32
    rank: int = 0
    scaling: bool = False
    learning_rate: float = 5e-2
    adapter_learning_rate: float = 3e-3
    before_passages: bool = False
    spring: bool = False
    attention: Attention = "exact"


UNTRAINED = ("template", "text-twin", "few-shot")
LORA, ALORA, PROMPT_TUNING, FULL = "lora-r16", "alora-r16", "peft-prompt-tuning", "full-fine-tuning"
# Learning rates of the peers, chosen on dev.
PEERS = {LORA: 3e-3, ALORA: 3e-3, PROMPT_TUNING: 1e-1, FULL: 1e-4}

KV = GraftSettings()
EMBEDDING = GraftSettings(kind="embedding")
ADAPTER = GraftSettings(kind="adapter", rank=16)
BOTH = GraftSettings(rank=16, learning_rate=1e-2)
GRAFTS = {
    "embedding": EMBEDDING,
    "kv": KV,
    "adapter": ADAPTER,
    "kv+adapter": BOTH,
    "adapter ia3": GraftSettings(kind="adapter", scaling=True, adapter_learning_rate=3e-2),
    "embedding-before": replace(EMBEDDING, before_passages=True),
    "kv-before": replace(KV, before_passages=True),
    "kv-block": replace(KV, attention="block"),
    "adapter-block": replace(ADAPTER, attention="block"),
    "spring": replace(EMBEDDING, spring=True),
}
SYSTEMS = (*UNTRAINED, *PEERS, *GRAFTS)
# Systems that are measured with several seeds.
SEEDED = ("embedding", "kv", "adapter", "kv+adapter", "adapter ia3", LORA)


@dataclass(frozen=True, slots=True)
class Cell:
    """One measurement: a system with one seed on one data set with one kind of evidence."""

    data: str
    evidence: Evidence
    system: str
    seed: int

    @property
    def key(self) -> str:
        """Its name in the results."""
        return f"{self.data}/{self.evidence}/{self.system}/{self.seed}"


def all_cells(seeds: int) -> list[Cell]:
    """All cells, the most important first."""
    return [
        Cell(data, evidence, system, seed)
        for seed in range(seeds)
        for evidence in EVIDENCE
        for system in SYSTEMS
        if not seed or system in SEEDED
        # With a single passage, both kinds of attention are the same.
        if not (evidence == "gold" and system.endswith("-block"))
        # The most expensive system is measured with the gold passage only.
        if not (evidence == "retrieved" and system == FULL)
        for data in DATA_SETS
    ]
