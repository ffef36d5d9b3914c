"""From logits to tokens: greedy, temperature, top_p, and settings that make no sense."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from soft_prompt import Decoding, SoftPromptError
from soft_prompt.replies.sampling import next_tokens, row_generators

# Left out of `make check`.
pytestmark = pytest.mark.heavy

PROBABILITIES = torch.tensor([0.15, 0.5, 0.05, 0.3])
DRAWS = 4000


def frequencies(decoding: Decoding) -> list[float]:
    """How often each of the four tokens is drawn."""
    logits = PROBABILITIES.log().expand(DRAWS, 4)
    generator = torch.Generator().manual_seed(0)
    tokens = next_tokens(logits, decoding, [generator] * DRAWS)
    counts: list[float] = (torch.bincount(tokens, minlength=4) / DRAWS).tolist()
    return counts


def test_greedy_takes_the_likeliest() -> None:
    logits = torch.randn(5, 40, generator=torch.Generator().manual_seed(1))
    assert torch.equal(next_tokens(logits, Decoding(), []), logits.argmax(dim=-1))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_temperature_is_honoured(temperature: float) -> None:
    expected = torch.softmax(PROBABILITIES.log() / temperature, dim=-1)
    # Four standard deviations of the largest frequency are 0.032.
    assert frequencies(Decoding(temperature=temperature)) == pytest.approx(expected.tolist(), abs=0.032)


def test_a_temperature_near_zero_is_nearly_greedy() -> None:
    assert frequencies(Decoding(temperature=1e-4)) == [0, 1, 0, 0]


@pytest.mark.parametrize(
    ("top_p", "kept"),
    [(1e-6, {1}), (0.4, {1}), (0.79, {1, 3}), (0.9, {0, 1, 3}), (0.96, {0, 1, 2, 3}), (1.0, {0, 1, 2, 3})],
)  # fmt: skip
def test_top_p_draws_from_the_smallest_set_that_holds_it(top_p: float, kept: set[int]) -> None:
    drawn = frequencies(Decoding(temperature=1.0, top_p=top_p))
    assert {token for token, share in enumerate(drawn) if share > 0} == kept
    # What is kept keeps its proportions.
    whole = sum(float(PROBABILITIES[token]) for token in kept)
    for token in kept:
        assert drawn[token] == pytest.approx(float(PROBABILITIES[token]) / whole, abs=0.032)


def test_temperature_comes_before_top_p() -> None:
    # At temperature 0.5 the likeliest token holds 0.685, so top_p=0.6 keeps it alone; at 1 it would keep two.
    assert frequencies(Decoding(temperature=0.5, top_p=0.6)) == [0, 1, 0, 0]


def test_each_row_draws_from_its_own_generator() -> None:
    logits = torch.zeros(3, 1000)
    decoding = Decoding(temperature=1.0, seed=5)
    batched = next_tokens(logits, decoding, row_generators(decoding, [0, 1, 2])).tolist()
    alone = [next_tokens(logits[:1], decoding, row_generators(decoding, [n])).item() for n in range(3)]
    assert batched == alone
    assert len(set(batched)) == 3


@pytest.mark.parametrize("seed", [0, -1, 2**63 - 1, 2**64 - 1, -(2**63)])
def test_every_seed_has_a_generator_for_every_row(seed: int) -> None:
    rows = row_generators(Decoding(temperature=1.0, seed=seed), range(3))
    assert len({generator.initial_seed() for generator in rows}) == 3
    assert rows[0].initial_seed() == torch.Generator().manual_seed(seed).initial_seed()


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"max_tokens": 0}, "max_tokens=0"),
        ({"max_tokens": -3}, "max_tokens=-3"),
        ({"temperature": -0.1}, "temperature=-0.1"),
        ({"temperature": math.nan}, "temperature=nan"),
        ({"temperature": math.inf}, "temperature=inf"),
        ({"seed": 2**64}, f"seed={2**64}"),
        ({"seed": -(2**63) - 1}, f"seed={-(2**63) - 1}"),
        ({"top_p": 0.0}, "top_p=0.0"),
        ({"top_p": -0.5}, "top_p=-0.5"),
        ({"top_p": 1.01}, "top_p=1.01"),
        ({"top_p": math.nan}, "top_p=nan"),
        # Each character would be a stop text.
        ({"stop": "END"}, "stop='END'"),
        ({"stop": ("",)}, "an empty stop text"),
        ({"stop": ("END", "")}, "an empty stop text"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], found: str) -> None:
    with pytest.raises(SoftPromptError) as caught:
        Decoding(**settings)
    assert caught.value.found == found
