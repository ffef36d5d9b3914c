"""A chain that is closed and forgotten takes its model with it."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import pytest

from chains import DomainChain
from retrieval import Index
from tests.support.small_bank import ScriptedChat, make_answering

# Left out of `make check`.
pytestmark = pytest.mark.heavy

THREAD = {"configurable": {"thread_id": "1"}}


async def test_nothing_holds_on_to_a_chain_that_was_closed(index: Index, tmp_path: Path) -> None:
    answering = make_answering(index, ScriptedChat())
    chain = DomainChain(answering, tmp_path / "memory.sqlite")
    chain.invoke({"question": "What does a card cost?"}, THREAD)
    await chain.ainvoke({"question": "And abroad?"}, THREAD)
    chain.get_graph()
    chain.close()
    held = weakref.ref(answering.speaker)
    del answering, chain
    gc.collect()
    assert held() is None
