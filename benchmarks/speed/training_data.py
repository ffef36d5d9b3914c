"""The examples that all systems train on: windows of real text as token ids, fixed by the seed.

unique: every context is another one. recurring: some questions share a context. passages: contexts are put together
from the passages of a pool, in an order of their own, so that passages recur and whole contexts do not.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from soft_prompt import Backbone
from soft_prompt.training.schedule import epoch_batches

TEXT = sorted((Path(__file__).resolve().parents[2] / "domains" / "bank" / "docs").glob("*.md"))
DATA = ("unique", "recurring", "passages")
# Tokens before the first passage, as system text takes them; and of a passage, where the context has room for it.
HEAD, PASSAGE = 24, 175
ATTEMPTS = 1000

Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DataSettings:
    """What the examples of a run depend on, beside the kind of data and the length of a context.

    Attributes:
        seed: of the text windows, and of the order of examples.
        examples: examples an epoch.
        epochs: passes over them.
        batch: examples a step.
        question: tokens of a question.
        answer: tokens of an answer, the end token counted.
        spread: by which share contexts are shorter or longer than the mean, as those of real passages are.
        questions_per_context: examples that share a context, for `recurring`.
        passage_uses: how often a passage is used in a run at least, for `passages`.
    """

    seed: int = 0
    examples: int = 48
    epochs: int = 3
    batch: int = 4
    question: int = 20
    answer: int = 8
    spread: float = 0.1
    questions_per_context: int = 4
    passage_uses: int = 8


@dataclass(frozen=True, slots=True)
class Task:
    """One example as token ids.

    Attributes:
        context: what stands before the soft slot.
        question: what stands behind it.
        answer: what is learned; ends with the end token.
        cuts: offsets in the context at which passages begin; empty where it is one piece.
    """

    context: Ids
    question: Ids
    answer: Ids
    cuts: tuple[int, ...] = ()

    @property
    def length(self) -> int:
        """Tokens of the whole example."""
        return len(self.context) + len(self.question) + len(self.answer)

    @property
    def passages(self) -> list[Ids]:
        """The passages of the context, without what stands before the first."""
        ends = [*self.cuts[1:], len(self.context)]
        return [self.context[start:end] for start, end in zip(self.cuts, ends, strict=True)] if self.cuts else []


def make_tasks(backbone: Backbone, settings: DataSettings, data: str, context: int) -> list[Task]:
    """The examples of an epoch, with contexts of about so many tokens."""
    windows = _Windows(backbone, random.Random(f"{settings.seed}-{data}-{context}"))
    if data == "passages":
        contexts = _contexts_of_passages(windows, settings, context)
    else:
        share = settings.questions_per_context if data == "recurring" else 1
        drawn = _different_windows(windows, math.ceil(settings.examples / share), context, settings.spread)
        contexts = [(drawn[n // share], ()) for n in range(settings.examples)]
    return [
        Task(ids, windows.of(settings.question), (*windows.of(settings.answer - 1), backbone.end_id), cuts)
        for ids, cuts in contexts
    ]


def make_batches(tasks: Sequence[Task], settings: DataSettings) -> list[list[Task]]:
    """The batches of a whole run, in the engine's own order."""
    lengths = [len(task.question) + len(task.answer) for task in tasks]
    epochs = [epoch_batches(lengths, settings.batch, settings.seed, epoch) for epoch in range(settings.epochs)]
    return [[tasks[i] for i in batch] for batches in epochs for batch in batches]


def padded_tokens(batch: Sequence[Task]) -> int:
    """Tokens that a system without a store runs through the model in a step, padding counted."""
    return len(batch) * max(task.length for task in batch)


def count_uses(batches: Sequence[Sequence[Task]]) -> dict[str, int | float]:
    """How many contexts and passages there are and how often each is used in a run: at least, and on average."""
    tasks = [task for batch in batches for task in batch]
    used = {
        "context": Counter(task.context for task in tasks),
        "passage": Counter(passage for task in tasks for passage in task.passages),
    }
    counts: dict[str, int | float] = {}
    for name, uses in used.items():
        if uses:
            counts[f"{name}s"] = len(uses)
            counts[f"uses_of_a_{name}"] = min(uses.values())
            counts[f"mean_uses_of_a_{name}"] = uses.total() / len(uses)
    return counts


class _Windows:
    """Draws stretches of the text."""

    def __init__(self, backbone: Backbone, chance: random.Random) -> None:
        self.chance = chance
        self._stream = backbone.encode_text("\n\n".join(path.read_text(encoding="utf-8") for path in TEXT))

    def of(self, length: int) -> Ids:
        """A stretch of so many tokens."""
        start = self.chance.randrange(len(self._stream))
        repeated = self._stream * (2 + length // len(self._stream))
        return tuple(repeated[start : start + length])


def _different_windows(windows: _Windows, count: int, length: float, spread: float) -> list[Ids]:
    found: dict[Ids, None] = {}
    for _ in range(count + ATTEMPTS):
        if len(found) < count:
            found[windows.of(max(1, round(length * windows.chance.uniform(1 - spread, 1 + spread))))] = None
    return _enough(list(found), count, "stretches of text")


def _contexts_of_passages(windows: _Windows, settings: DataSettings, context: int) -> list[tuple[Ids, tuple[int, ...]]]:
    """Contexts with their cuts: a head that all share, then passages, each used equally often."""
    head = windows.of(HEAD)
    each = max(2, round((context - HEAD) / PASSAGE))
    per_epoch = math.ceil(settings.passage_uses / settings.epochs)
    size = max(each, settings.examples * each // per_epoch)
    pool = _different_windows(windows, size, (context - HEAD) / each, 0.3)
    used = [0] * size
    drawn: dict[tuple[int, ...], None] = {}
    for _ in range(settings.examples + ATTEMPTS):
        if len(drawn) < settings.examples:
            least = sorted(range(size), key=lambda i: (used[i], windows.chance.random()))[:each]
            windows.chance.shuffle(least)
            if tuple(least) not in drawn:
                drawn[tuple(least)] = None
                for i in least:
                    used[i] += 1
    contexts = []
    for chosen in _enough(list(drawn), settings.examples, "orders of passages"):
        parts = [head, *(pool[i] for i in chosen)]
        cuts = tuple(sum(map(len, parts[:n])) for n in range(1, len(parts)))
        contexts.append((tuple(i for part in parts for i in part), cuts))
    return contexts


def _enough(found: list[Ids], wanted: int, what: str) -> list[Ids]:
    if len(found) < wanted:
        raise SystemExit(
            f"{len(found)} different {what} found. Expected: {wanted}. "
            "Next: choose fewer --examples or longer --contexts"
        )
    return found
