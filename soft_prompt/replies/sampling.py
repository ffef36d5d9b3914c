"""Decoding settings, and the choice of the next token."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor

from soft_prompt.errors import SoftPromptError
from soft_prompt.model.optimized import DecodeWeights

_COLD = 1e-5
# PyTorch's generators take a negative seed as the same number modulo this.
_SEEDS = 2**64


@dataclass(frozen=True, slots=True)
class Decoding:
    """Settings for decoding replies.

    Attributes:
        max_tokens: maximum number of tokens per reply.
        temperature: 0 takes the most likely token (greedy); a higher one samples.
        top_p: samples from the smallest set of tokens with at least this probability; 1 samples from all.
        stop: texts that end a reply and are not part of it.
        seed: for sampling; each row has its own generator, so a reply does not depend on the batch. None for random.
        weights: `own` reads the backbone's weights as they are; `int8` reads rounded ones where few rows run, which
            needs a backbone in bf16 on the CPU; `auto` is `own`, which is at least as fast.
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
            (not 0 <= self.temperature < math.inf, f"temperature={self.temperature}", "a finite number from 0"),
            (not 0 < self.top_p <= 1, f"top_p={self.top_p}", "above 0 and at most 1"),
            (isinstance(self.stop, str), f"stop={self.stop!r}", "a tuple of texts"),
            ("" in self.stop, "an empty stop text", "texts of at least one character"),
            (not -_SEEDS // 2 <= (self.seed or 0) < _SEEDS, f"seed={self.seed}", "from -2^63 to 2^64 - 1"),
            (self.weights not in get_args(DecodeWeights), f"weights={self.weights!r}", "auto, own or int8"),
        ]
        for invalid, found, expected in problems:
            if invalid:
                raise SoftPromptError(found=found, expected=expected, next_step="correct the decoding settings")


def row_generators(decoding: Decoding, numbers: Sequence[int]) -> list[torch.Generator]:
    """One random generator per row, seeded from the decoding's seed and the row's number."""
    generators = []
    for number in numbers:
        generator = torch.Generator()
        if decoding.seed is None:
            generator.seed()
        else:
            generator.manual_seed((decoding.seed + number) % _SEEDS)
        generators.append(generator)
    return generators


def is_greedy(decoding: Decoding) -> bool:
    """Whether the most likely token is taken. A temperature this close to 0 leaves no other a chance."""
    return decoding.temperature < _COLD


def next_tokens(logits: Tensor, decoding: Decoding, generators: Sequence[torch.Generator]) -> Tensor:
    """Choose one token per row, `[rows]`, int64, from logits `[rows, vocabulary]` with one generator per row."""
    if is_greedy(decoding):
        return logits.argmax(dim=-1)
    logits = logits.float()
    # Below 0, so that a low temperature cannot overflow.
    logits = logits - logits.amax(dim=-1, keepdim=True)
    probabilities = torch.softmax(logits / decoding.temperature, dim=-1)
    ordered, order = probabilities.sort(dim=-1, descending=True)
    # A token is dropped if the more likely ones reach top_p already. So the most likely one always stays.
    ordered = ordered.masked_fill(ordered.cumsum(dim=-1) - ordered >= decoding.top_p, 0.0).cpu()
    drawn = [torch.multinomial(row, 1, generator=g) for row, g in zip(ordered, generators, strict=True)]
    return order.gather(1, torch.stack(drawn).to(order.device)).squeeze(1)
