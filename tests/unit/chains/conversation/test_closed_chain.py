"""A closed chain says so, whatever it is asked."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chains import DomainChain
from chains.errors import ClosedError
from tests.support.small_bank import ScriptedChat

# Left out of `make check`.
pytestmark = pytest.mark.heavy

THREAD = {"configurable": {"thread_id": "1"}}
QUESTION = {"question": "What does a card cost?"}
USES: dict[str, Callable[[DomainChain], object]] = {
    "invoke": lambda chain: chain.invoke(QUESTION),
    "invoke with a thread": lambda chain: chain.invoke(QUESTION, THREAD),
    "stream": lambda chain: list(chain.stream(QUESTION)),
    "batch": lambda chain: chain.batch([QUESTION]),
    "threads": lambda chain: chain.threads(),
    "history": lambda chain: chain.history("1"),
    "messages": lambda chain: chain.messages("1"),
    "delete": lambda chain: chain.delete("1"),
    "memory": lambda chain: chain.memory,
    "as messages": lambda chain: chain.as_messages().invoke(QUESTION["question"]),
}


@pytest.fixture
def closed(make_chain: Callable[..., DomainChain], chat: ScriptedChat) -> DomainChain:
    chain = make_chain(chat)
    assert chain.invoke(QUESTION, THREAD)["answer"]
    chain.close()
    return chain


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_every_use_of_a_closed_chain_is_refused(use: Callable[[DomainChain], object], closed: DomainChain) -> None:
    with pytest.raises(ClosedError, match="a chain that was closed") as caught:
        use(closed)
    assert "open_domain" in caught.value.next_step


async def test_async_use_of_a_closed_chain_is_refused(closed: DomainChain) -> None:
    with pytest.raises(ClosedError):
        await closed.ainvoke(QUESTION)
    with pytest.raises(ClosedError):
        [part async for part in closed.astream(QUESTION, THREAD)]


def test_a_chain_that_shares_its_conversations_is_closed_too(
    make_chain: Callable[..., DomainChain], chat: ScriptedChat
) -> None:
    chain = make_chain(chat)
    other = chain.with_answering(chain.answering)
    assert other.invoke(QUESTION, THREAD)["answer"]
    chain.close()
    with pytest.raises(ClosedError):
        other.invoke(QUESTION, THREAD)


def test_closing_twice_is_allowed(closed: DomainChain) -> None:
    closed.close()
