"""From logits to the next token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor

from soft_prompt.errors import SoftPromptError
from soft_prompt.model.optimized import DecodeWeights


@dataclass(frozen=True, slots=True)
class Decoding:
    """How replies are decoded.

    Attributes:
        max_tokens: at most so many tokens a reply.
        temperature: 0 takes the likeliest token (greedy); higher samples.
        top_p: sample from the smallest set of tokens with this much probability; 1 samples from all.
        stop: texts that end a reply; they are not part of it.
        seed: of the sampling; each row draws from a generator of its own, so a reply does not depend on the batch.
        weights: how the backbone's weights are read. `own` as they are; `int8` rounded where few rows run, which needs
            a backbone in bf16 on the CPU; `auto` is `int8` there when greedy and `own` otherwise.
    """

    max_tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int | None = None
    weights: DecodeWeights = "own"

    def __post_init__(self) -> None:
        problems = [
            (self.max_tokens < 1, f"max_tokens={self.max_tokens}", "at least 1"),
            (not self.temperature >= 0, f"temperature={self.temperature}", "0 or more"),
            (not 0 < self.top_p <= 1, f"top_p={self.top_p}", "above 0 and at most 1"),
            ("" in self.stop, "an empty stop text", "texts of at least one character"),
            (self.weights not in get_args(DecodeWeights), f"weights={self.weights!r}", "auto, own or int8"),
        ]
        for wrong, found, expected in problems:
            if wrong:
                raise SoftPromptError(found=found, expected=expected, next_step="correct the decoding settings")


def row_generators(decoding: Decoding, numbers: Sequence[int]) -> list[torch.Generator]:
    """One random generator a row, seeded from the row's number."""
    generators = []
    for number in numbers:
        generator = torch.Generator()
        if decoding.seed is None:
            generator.seed()
        else:
            generator.manual_seed(decoding.seed + number)
        generators.append(generator)
    return generators


def next_tokens(logits: Tensor, decoding: Decoding, generators: Sequence[torch.Generator]) -> Tensor:
    """Choose one token a row.

    Args:
        logits: `[rows, vocabulary]`.
        decoding: temperature and top_p.
        generators: one a row; not used when greedy.

    Returns:
        `[rows]`, int64.
    """
    if decoding.temperature == 0:
        return logits.argmax(dim=-1)
    probabilities = torch.softmax(logits.float() / decoding.temperature, dim=-1)
    ordered, order = probabilities.sort(dim=-1, descending=True)
    # A token is left out when those before it already hold top_p, so the likeliest always stays.
    ordered = ordered.masked_fill(ordered.cumsum(dim=-1) - ordered >= decoding.top_p, 0.0).cpu()
    drawn = [torch.multinomial(row, 1, generator=g) for row, g in zip(ordered, generators, strict=True)]
    return order.gather(1, torch.stack(drawn).to(order.device)).squeeze(1)
