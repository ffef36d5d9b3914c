"""Fixtures of the chains tests: an index over the small bank, and chains over it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chains import Answering, DomainChain
from retrieval import Index
from soft_prompt import Backbone, PrefixStore
from tests.support.small_bank import ScriptedChat, make_answering, make_index


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """An index over the small bank; no test may change it."""
    with make_index(tmp_path_factory.mktemp("bank")) as index:
        yield index


@pytest.fixture(scope="session")
def wide_backbone(make_tiny_backbone: Callable[..., Backbone]) -> Backbone:
    """A tiny backbone whose context fits whole prompts, as its tokenizer needs a token for nearly every character."""
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
    """Builds chains that share one memory file: `make_chain(speaker, scale=..., condense="off")`."""
    chains: list[DomainChain] = []

    def make(speaker: Any, **settings: Any) -> DomainChain:
        answering = speaker if isinstance(speaker, Answering) else make_answering(index, speaker, **settings)
        chains.append(DomainChain(answering, tmp_path / "memory.sqlite"))
        return chains[-1]

    yield make
    for chain in chains:
        chain.close()
