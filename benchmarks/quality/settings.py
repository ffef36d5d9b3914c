"""The systems of the quality benchmark with their settings, and the settings that were compared on dev."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from soft_prompt import Attention

Evidence = Literal["gold", "retrieved"]
Split = Literal["train", "dev", "test"]
SlotPosition = Literal["before passages", "after passages", "after question"]

DATA_SETS = ("squad", "covidqa")
EVIDENCE: tuple[Evidence, ...] = ("gold", "retrieved")
BATCH = 8


@dataclass(frozen=True, slots=True)
class GraftSettings:
    """How a soft prompt is trained.

    Attributes:
        kind: `embedding`, `kv`, or `adapter`, which leaves the text twin in the slot.
        length: positions of an `embedding` or `kv` soft prompt.
        rank: of an adapter; 0 for none.
        scaling: (IA)³ scales instead of low-rank weights.
        learning_rate, adapter_learning_rate: peak learning rates.
        slot: position of the soft slot. Before the passages, the passages run through the model at every step. After
            the question, the question is cached as well.
        uncached: nothing is cached, as SPRING trains (arXiv:2405.19670).
        random_length: train a random number of the first positions of an `embedding` at each step.
        attention: whether passages attend to one another.
        epochs: maximum number of epochs.
        questions: number of training questions. With fewer, fewer contexts are read, and each is seen more often.
        retrieved_questions: the same with retrieved passages, which take longer to read; None for `questions`.
        layers: number of last layers to train; None for all.
        batch_size: examples per step.
        max_passages: maximum number of passages in a training prompt; None for all that are retrieved.
    """

    kind: str = "kv"
    length: int = 32
    rank: int = 0
    scaling: bool = False
    learning_rate: float = 1e-2
    adapter_learning_rate: float = 1e-3
    slot: SlotPosition = "after passages"
    uncached: bool = False
    random_length: bool = False
    attention: Attention = "exact"
    epochs: int | None = None
    questions: int | None = None
    retrieved_questions: int | None = None
    layers: int | None = None
    batch_size: int = BATCH
    max_passages: int | None = None

    def for_evidence(self, evidence: Evidence) -> GraftSettings:
        """The settings with the number of questions for this evidence."""
        if evidence == "gold" or self.retrieved_questions is None:
            return self
        return replace(self, questions=self.retrieved_questions)


@dataclass(frozen=True, slots=True)
class Budget:
    """Resources of one cell.

    Attributes:
        gold_seconds, retrieved_seconds: CPU seconds of training, by evidence.
        train, test: maximum number of questions; dev has as many as test.
    """

    gold_seconds: float = 120
    retrieved_seconds: float = 180
    train: int = 400
    test: int = 120

    def seconds(self, evidence: Evidence) -> float:
        """CPU seconds of training with this evidence."""
        return self.gold_seconds if evidence == "gold" else self.retrieved_seconds


UNTRAINED = ("template", "text-twin", "few-shot")
LORA, ALORA, PROMPT_TUNING, FULL = "lora-r16", "alora-r16", "peft-prompt-tuning", "full-fine-tuning"
# Learning rates of the peers, chosen on dev from `PEER_VARIANTS`.
PEERS = {LORA: 3e-3, ALORA: 3e-3, PROMPT_TUNING: 1e-1, FULL: 1e-4}

KV = GraftSettings(learning_rate=5e-2, questions=200, retrieved_questions=100)
EMBEDDING = replace(KV, kind="embedding")
ADAPTER = replace(KV, kind="adapter", rank=16, learning_rate=1e-2, adapter_learning_rate=3e-3)
BOTH = replace(KV, rank=16, learning_rate=1e-2, adapter_learning_rate=3e-3)
GRAFTS = {
    "embedding": EMBEDDING,
    "kv": KV,
    "adapter": ADAPTER,
    "kv+adapter": BOTH,
    "adapter ia3": replace(ADAPTER, rank=0, scaling=True, adapter_learning_rate=3e-2),
    "embedding-before": replace(EMBEDDING, slot="before passages"),
    "kv-before": replace(KV, slot="before passages"),
    "kv-block": replace(KV, attention="block"),
    "adapter-block": replace(ADAPTER, attention="block"),
    "spring": replace(EMBEDDING, uncached=True, random_length=True),
}
# Variants with one or two changes, compared on dev.
VARIANTS = {
    "embedding 8": replace(EMBEDDING, length=8),
    "embedding 128": replace(EMBEDDING, length=128),
    "embedding rate 2e-2": replace(EMBEDDING, learning_rate=2e-2),
    "kv 4": replace(KV, length=4),
    "kv 64 rate 1e-2": replace(KV, length=64, learning_rate=1e-2),
    "kv 128": replace(KV, length=128),
    "kv rate 1e-2": replace(KV, learning_rate=1e-2),
    "kv rate 2e-2": replace(KV, learning_rate=2e-2),
    "kv rate 1e-1": replace(KV, learning_rate=1e-1),
    "kv 400 questions": replace(KV, questions=400, retrieved_questions=400),
    "kv 400 questions batch 4": replace(KV, questions=400, retrieved_questions=400, batch_size=4),
    "kv last": replace(KV, slot="after question"),
    "kv top 15": replace(KV, layers=15),
    "adapter rank 1": replace(ADAPTER, rank=1),
    "adapter rank 4": replace(ADAPTER, rank=4),
    "adapter rate 6e-3": replace(ADAPTER, adapter_learning_rate=6e-3),
    "adapter top 15": replace(ADAPTER, layers=15),
    "adapter 400 questions": replace(ADAPTER, questions=400, retrieved_questions=400),
    "kv+adapter 400 questions": replace(BOTH, questions=400, retrieved_questions=400),
    "kv+adapter 200 questions": replace(BOTH, retrieved_questions=200),
    "kv+adapter 2 passages": replace(BOTH, retrieved_questions=200, max_passages=2),
    # The default kind, length, rank and learning rates of domain.yaml.
    "kv+adapter rank 4 rate 1e-3": replace(BOTH, rank=4, adapter_learning_rate=1e-3),
}
ALL_GRAFTS = GRAFTS | VARIANTS
# The peers at other learning rates, compared on dev.
PEER_VARIANTS = {
    "lora-r16 rate 1e-3": (LORA, 1e-3),
    "lora-r16 rate 3e-3": (LORA, 3e-3),
    "lora-r16 rate 6e-3": (LORA, 6e-3),
    "alora-r16 rate 3e-3": (ALORA, 3e-3),
    "peft-prompt-tuning rate 2e-2": (PROMPT_TUNING, 2e-2),
    "peft-prompt-tuning rate 1e-1": (PROMPT_TUNING, 1e-1),
    "full-fine-tuning rate 3e-5": (FULL, 3e-5),
    "full-fine-tuning rate 1e-4": (FULL, 1e-4),
}
SYSTEMS = (*UNTRAINED, *PEERS, *GRAFTS)
# Systems that are measured with several seeds.
SEEDED = ("embedding", "kv", "adapter", "kv+adapter", "adapter ia3", LORA)


@dataclass(frozen=True, slots=True, order=True)
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


def variant_cells(seeds: int) -> list[Cell]:
    """The cells of the comparison on dev."""
    systems = (*GRAFTS, *VARIANTS, *PEER_VARIANTS)
    return [
        Cell(data, evidence, system, seed)
        for seed in range(seeds)
        for evidence in EVIDENCE
        for data in DATA_SETS
        for system in systems
    ]


def all_cells(seeds: int) -> list[Cell]:
    """The cells of the comparison on test, the most important first."""
    cells = []
    for seed in range(seeds):
        for evidence in EVIDENCE:
            for system in SYSTEMS:
                if seed and system not in SEEDED:
                    continue
                # With a single passage, both kinds of attention are the same.
                if evidence == "gold" and system.endswith("-block"):
                    continue
                # The most expensive system is measured with the gold passage only.
                if evidence == "retrieved" and system == FULL:
                    continue
                cells += [Cell(data, evidence, system, seed) for data in DATA_SETS]
    return cells
