"""Training examples that all systems share: windows of real text as token ids, fixed by the seed.

unique: every context differs. recurring: several questions share a context. passages: each context joins passages of
a pool in its own order, so that passages recur and whole contexts do not.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from soft_prompt import Backbone

TEXT = sorted((Path(__file__).resolve().parents[3] / "domains" / "bank" / "docs").glob("*.md"))
DATA = ("unique", "recurring", "passages")
# Tokens before the first passage, as many as a system text has, and tokens of a passage.
HEAD, PASSAGE = 24, 175
ATTEMPTS = 1000

Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DataSettings:
    """What the examples depend on, besides the kind of data and the length of a context.

    Attributes:
        seed: of the text windows and of the order of examples.
        examples: examples per epoch.
        epochs: number of epochs.
        batch: batch size.
        question: tokens per question.
        answer: tokens per answer, including the end token.
        spread: relative deviation of context lengths from their mean.
        questions_per_context: examples that share a context, for `recurring`.
        passage_uses: minimum number of uses of a passage in a run, for `passages`.
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
class TokenExample:
    """One example as token ids.

    Attributes:
        context: before the soft slot.
        question: after the soft slot.
        answer: the target; ends with the end token.
        cuts: offsets in the context where passages begin; empty if the context has no passages.
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
        """The passages of the context, without the tokens before the first."""
        ends = [*self.cuts[1:], len(self.context)]
        return [self.context[start:end] for start, end in zip(self.cuts, ends, strict=True)] if self.cuts else []


def make_examples(backbone: Backbone, settings: DataSettings, data: str, context: int) -> list[TokenExample]:
    """The examples of an epoch, with contexts of about `context` tokens."""
    windows = _TextWindows(backbone, random.Random(f"{settings.seed}-{data}-{context}"))
    if data == "passages":
        contexts = _contexts_of_passages(windows, settings, context)
    else:
        share = settings.questions_per_context if data == "recurring" else 1
        drawn = _distinct_windows(windows, math.ceil(settings.examples / share), context, settings.spread)
        contexts = [(drawn[n // share], ()) for n in range(settings.examples)]
    return [
        TokenExample(ids, windows.draw(settings.question), (*windows.draw(settings.answer - 1), backbone.end_id), cuts)
        for ids, cuts in contexts
    ]


def make_batches(examples: Sequence[TokenExample], settings: DataSettings) -> list[list[TokenExample]]:
    """The batches of a whole run, in the order that the training engine uses."""
    from soft_prompt.training.schedule import epoch_batches

    lengths = [len(example.question) + len(example.answer) for example in examples]
    epochs = [epoch_batches(lengths, settings.batch, settings.seed, epoch) for epoch in range(settings.epochs)]
    return [[examples[i] for i in batch] for batches in epochs for batch in batches]


def padded_tokens(batch: Sequence[TokenExample]) -> int:
    """Tokens per step, with padding, of a system without a prefix store."""
    return len(batch) * max(example.length for example in batch)


def count_uses(batches: Sequence[Sequence[TokenExample]]) -> dict[str, int | float]:
    """The number of contexts and passages, and their minimum and mean number of uses in a run."""
    examples = [example for batch in batches for example in batch]
    uses_by_name = {
        "context": Counter(example.context for example in examples),
        "passage": Counter(passage for example in examples for passage in example.passages),
    }
    counts: dict[str, int | float] = {}
    for name, uses in uses_by_name.items():
        if uses:
            counts[f"{name}s"] = len(uses)
            counts[f"uses_of_a_{name}"] = min(uses.values())
            counts[f"mean_uses_of_a_{name}"] = uses.total() / len(uses)
    return counts


class _TextWindows:
    """Draws windows of the text at random."""

    def __init__(self, backbone: Backbone, rng: random.Random) -> None:
        self.rng = rng
        self._tokens = backbone.encode_text("\n\n".join(path.read_text(encoding="utf-8") for path in TEXT))

    def draw(self, length: int) -> Ids:
        """A window of `length` tokens."""
        start = self.rng.randrange(len(self._tokens))
        repeated = self._tokens * (2 + length // len(self._tokens))
        return tuple(repeated[start : start + length])


def _distinct_windows(windows: _TextWindows, count: int, length: float, spread: float) -> list[Ids]:
    drawn: dict[Ids, None] = {}
    for _ in range(count + ATTEMPTS):
        if len(drawn) < count:
            drawn[windows.draw(max(1, round(length * windows.rng.uniform(1 - spread, 1 + spread))))] = None
    return _require(list(drawn), count, "windows of text")


def _contexts_of_passages(
    windows: _TextWindows, settings: DataSettings, context: int
) -> list[tuple[Ids, tuple[int, ...]]]:
    """Contexts with their cuts: a shared head, then passages, each used equally often."""
    head = windows.draw(HEAD)
    per_context = max(2, round((context - HEAD) / PASSAGE))
    uses_per_epoch = math.ceil(settings.passage_uses / settings.epochs)
    size = max(per_context, settings.examples * per_context // uses_per_epoch)
    pool = _distinct_windows(windows, size, (context - HEAD) / per_context, 0.3)
    uses = [0] * size
    orders: dict[tuple[int, ...], None] = {}
    for _ in range(settings.examples + ATTEMPTS):
        if len(orders) < settings.examples:
            order = sorted(range(size), key=lambda i: (uses[i], windows.rng.random()))[:per_context]
            windows.rng.shuffle(order)
            if tuple(order) not in orders:
                orders[tuple(order)] = None
                for i in order:
                    uses[i] += 1
    contexts = []
    for numbers in _require(list(orders), settings.examples, "orders of passages"):
        parts = [head, *(pool[i] for i in numbers)]
        cuts = tuple(sum(map(len, parts[:n])) for n in range(1, len(parts)))
        contexts.append((tuple(i for part in parts for i in part), cuts))
    return contexts


def _require(drawn: list[Ids], count: int, what: str) -> list[Ids]:
    if len(drawn) < count:
        raise SystemExit(
            f"{len(drawn)} different {what} found. Expected: {count}. "
            "Next: choose fewer --examples or longer --contexts"
        )
    return drawn
