"""The order of turns when the clock goes back: between processes, within one, and back and forth."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import id as checkpoint_ids
from langgraph.checkpoint.sqlite import SqliteSaver

from chains import Conversations, DomainChain
from tests.support.small_bank import SCALE, ScriptedChat

# Left out of `make check`.
pytestmark = pytest.mark.heavy

MakeChain = Callable[..., DomainChain]
DAY = 24 * 3600 * 10**9


class Clock:
    """The wall clock of the process; `restart` forgets the last id, as a new process does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self._real = time.time_ns
        self.days = 0.0
        monkeypatch.setattr(time, "time_ns", lambda: self._real() + int(self.days * DAY))

    def restart(self) -> None:
        self._monkeypatch.setattr(checkpoint_ids, "_last_v6_timestamp", None)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "memory.sqlite"


def thread(name: str) -> RunnableConfig:
    return {"configurable": {"thread_id": name}}


def question(number: int) -> str:
    return f"What does card number {number} cost?"


def ask(chain: DomainChain, number: int, name: str = "1") -> None:
    chain.invoke({"question": question(number)}, thread(name))


def asked(chain: DomainChain | Conversations, name: str = "1") -> list[str]:
    return [turn["question"] for turn in chain.history(name)]


@pytest.mark.parametrize("steps", [(0, -1, -1, 0), (0, -1, 1, -2, 2, -3, 0), (0, -400, -400, -400)])
@pytest.mark.parametrize("restarts", [True, False])
def test_no_turn_is_lost_when_the_clock_goes_back(
    make_chain: MakeChain, clock: Clock, steps: tuple[int, ...], restarts: bool
) -> None:
    chat = ScriptedChat()
    chain = make_chain(chat)
    for number, days in enumerate(steps):
        clock.days = days
        clock.restart()
        if restarts:
            chain.close()
            chain = make_chain(chat)
        ask(chain, number)
        assert asked(chain) == [question(earlier) for earlier in range(number + 1)]
        # The model read the turn before this one.
        assert number == 0 or question(number - 1) in [message.content for message in chat.seen[-1]]
    assert chain.history("1")[-1]["history"]["exchanges"] == len(steps) - 1


def test_two_open_chains_with_different_clocks_continue_each_other(make_chain: MakeChain, clock: Clock) -> None:
    chains = [make_chain(ScriptedChat()), make_chain(ScriptedChat())]
    for number in range(6):
        clock.days = -1 if number % 2 else 0
        clock.restart()
        ask(chains[number % 2], number)
    assert asked(chains[0]) == asked(chains[1]) == [question(number) for number in range(6)]


def test_threads_are_listed_by_their_last_turn_not_by_the_clock(make_chain: MakeChain, clock: Clock) -> None:
    chain = make_chain(ScriptedChat(), scale=SCALE)
    for number, name in enumerate(("anna", "bert", "carl", "anna")):
        clock.days = -number
        clock.restart()
        ask(chain, number, name)
        assert chain.threads()[0].thread == name
    assert [(entry.thread, entry.turns) for entry in chain.threads()] == [("anna", 2), ("carl", 1), ("bert", 1)]


def test_a_conversation_deleted_with_an_earlier_clock_begins_anew(make_chain: MakeChain, clock: Clock) -> None:
    chain = make_chain(ScriptedChat())
    ask(chain, 0)
    clock.days = -2
    clock.restart()
    chain.delete("1")
    ask(chain, 1)
    assert asked(chain) == [question(1)]


# Databases of earlier versions


def store_as_before(path: Path, checkpoints: list[dict[str, Any]], name: str = "1") -> None:
    """Store checkpoints with LangGraph's own saver, in the order given."""
    with SqliteSaver.from_conn_string(str(path)) as saver:
        for checkpoint in checkpoints:
            saver.put(
                {"configurable": {"thread_id": name, "checkpoint_ns": ""}},
                checkpoint,  # type: ignore[arg-type]
                {"source": "loop", "step": 4, "parents": {}},
                {},
            )


@pytest.fixture
def stored_before(make_chain: MakeChain, tmp_path: Path) -> dict[str, Any]:
    """The checkpoint of a conversation of two turns, as plain data."""
    chain = make_chain(ScriptedChat())
    ask(chain, 0)
    ask(chain, 1)
    found = chain.memory.get_tuple(thread("1"))
    assert found is not None
    chain.delete("1")
    chain.close()
    (tmp_path / "memory.sqlite").unlink()
    return dict(found.checkpoint)


def test_a_database_of_an_earlier_version_is_read_and_continued(
    make_chain: MakeChain, path: Path, stored_before: dict[str, Any]
) -> None:
    store_as_before(path, [stored_before])
    store_as_before(path, [stored_before], "2")
    kept = Conversations(path)
    assert asked(kept) == [question(0), question(1)]
    assert [(entry.thread, entry.turns) for entry in kept.threads()] == [("2", 2), ("1", 2)]
    kept.close()
    chain = make_chain(ScriptedChat())
    ask(chain, 2)
    assert asked(chain) == [question(0), question(1), question(2)]
    assert asked(chain, "2") == [question(0), question(1)]


def test_a_turn_that_an_earlier_clock_had_hidden_is_found_again(
    make_chain: MakeChain, path: Path, stored_before: dict[str, Any]
) -> None:
    """Both checkpoints are in the file: the larger id is the older one."""
    values = stored_before["channel_values"]
    older = {**stored_before, "channel_values": {**values, "turns": values["turns"][:1]}}
    newer = {**stored_before, "id": f"00000000{stored_before['id'][8:]}"}
    store_as_before(path, [older, newer])
    chain = make_chain(ScriptedChat())
    assert asked(chain) == [question(0), question(1)]
    ask(chain, 2)
    assert asked(chain) == [question(0), question(1), question(2)]
    chain.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT COUNT(*) FROM checkpoints").fetchone() == (1,)
    connection.close()


def test_a_turn_is_stored_in_one_transaction(make_chain: MakeChain, path: Path) -> None:
    """A second statement that fails takes the first back: never two states, or none, of one conversation."""
    chain = make_chain(ScriptedChat())
    ask(chain, 0)
    with sqlite3.connect(path) as connection:
        connection.execute(
            "CREATE TRIGGER fails BEFORE DELETE ON checkpoints BEGIN SELECT RAISE(ABORT, 'no space'); END"
        )
    with pytest.raises(Exception, match="no space"):
        ask(chain, 1)
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TRIGGER fails")
        assert connection.execute("SELECT COUNT(*) FROM checkpoints").fetchone() == (1,)
    connection.close()
    assert asked(chain) == [question(0)]
    ask(chain, 2)
    assert asked(chain) == [question(0), question(2)]
