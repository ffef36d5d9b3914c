"""What the tests of the engine share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from tiny_task import CONFIG, DEV, EXAMPLES, run

from soft_prompt import Backbone, PrefixStore, SoftPrompt, TrainResult, TrainStep, from_text_twin, train


@pytest.fixture(scope="session")
def soft_prompt(tiny_backbone: Backbone) -> SoftPrompt:
    """A soft prompt that started from its text twin."""
    return from_text_twin(tiny_backbone, "domain", "Answer the question.")


@pytest.fixture
def store(tiny_backbone: Backbone) -> Iterator[PrefixStore]:
    """An empty prefix store of the tiny backbone."""
    store = PrefixStore(tiny_backbone)
    yield store
    store.close()


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Tiny models run faster on one thread than on several that wait for each other.

    Bits are the same for the same number of threads only, so this comes before any run that others share.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def start(tiny_backbone: Backbone) -> SoftPrompt:
    return from_text_twin(tiny_backbone, "domain", "Be brief.")


@pytest.fixture(scope="session")
def steps(tiny_backbone: Backbone, start: SoftPrompt) -> list[TrainStep]:
    """Every call of `on_step` in a run that nobody stops."""
    seen: list[TrainStep] = []
    train(PrefixStore(tiny_backbone), start, EXAMPLES, DEV, CONFIG, on_step=seen.append)
    return seen


@pytest.fixture(scope="session")
def undisturbed(tiny_backbone: Backbone, start: SoftPrompt) -> TrainResult:
    return run(tiny_backbone, start)
