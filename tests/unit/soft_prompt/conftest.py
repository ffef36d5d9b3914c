"""Fixtures of the soft prompt tests: a soft prompt, a prefix store, and one training run of the tiny task."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tiny_task import CONFIG, DEV, EXAMPLES, run

from soft_prompt import Backbone, PrefixStore, SoftPrompt, TrainResult, TrainStep, from_text_twin, train


@pytest.fixture(scope="session")
def soft_prompt(tiny_backbone: Backbone) -> SoftPrompt:
    """A soft prompt initialised from its text twin."""
    return from_text_twin(tiny_backbone, "domain", "Answer the question.")


@pytest.fixture
def store(tiny_backbone: Backbone) -> Iterator[PrefixStore]:
    """An empty prefix store of the tiny backbone."""
    store = PrefixStore(tiny_backbone)
    yield store
    store.close()


@pytest.fixture(scope="session")
def start(tiny_backbone: Backbone) -> SoftPrompt:
    return from_text_twin(tiny_backbone, "domain", "Be brief.")


@pytest.fixture(scope="session")
def steps(tiny_backbone: Backbone, start: SoftPrompt) -> list[TrainStep]:
    """Every `on_step` call of an uninterrupted run."""
    steps: list[TrainStep] = []
    train(PrefixStore(tiny_backbone), start, EXAMPLES, DEV, CONFIG, on_step=steps.append)
    return steps


@pytest.fixture(scope="session")
def undisturbed(tiny_backbone: Backbone, start: SoftPrompt) -> TrainResult:
    return run(tiny_backbone, start)
