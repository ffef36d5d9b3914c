"""What the tests of the chains share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from house import ScriptedChat, make_answering, make_index

from chains import Answering, DomainChain
from retrieval import Index
from soft_prompt import Backbone, PrefixStore


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """The house's passages; nothing writes to them."""
    with make_index(tmp_path_factory.mktemp("house")) as index:
        yield index


@pytest.fixture(scope="session")
def wide_backbone(make_tiny_backbone: Callable[..., Backbone]) -> Backbone:
    """A tiny backbone whose context holds whole prompts, although it needs a token for nearly every character."""
    return make_tiny_backbone("llama", max_position_embeddings=4096)


@pytest.fixture
def store(wide_backbone: Backbone) -> Iterator[PrefixStore]:
    store = PrefixStore(wide_backbone)
    yield store
    store.close()


@pytest.fixture
def chat() -> ScriptedChat:
    return ScriptedChat()


@pytest.fixture
def make_chain(index: Index, tmp_path: Path) -> Iterator[Callable[..., DomainChain]]:
    """Makes chains over one memory: `make_chain(speaker, scale=..., condense="off")`."""
    made: list[DomainChain] = []

    def make(speaker: Any, **settings: Any) -> DomainChain:
        answering = speaker if isinstance(speaker, Answering) else make_answering(index, speaker, **settings)
        made.append(DomainChain(answering, tmp_path / "memory.sqlite"))
        return made[-1]

    yield make
    for chain in made:
        chain.close()


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Tiny models run faster on one thread than on several that wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
