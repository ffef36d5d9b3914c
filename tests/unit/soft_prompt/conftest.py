"""What the tests of the engine share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from soft_prompt import Backbone, PrefixStore, SoftPrompt, from_text_twin


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


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Tiny models run faster on one thread than on several that wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
