"""How long a question waits for a conversation or its database that something else holds."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from langchain_core.runnables import RunnableConfig

from chains import DomainChain, MemoryUnavailableError
from tests.support.small_bank import ScriptedChat

# Left out of `make check`.
pytestmark = pytest.mark.heavy

MakeChain = Callable[..., DomainChain]
ASKED = "What does a replacement card cost?"
# Longer than any test may take.
NEVER = 60.0
HOLDS = """
import sys, time
from pathlib import Path
from chains import Conversations

with Conversations(Path(sys.argv[1])).turn("1"):
    print("held", flush=True)
    time.sleep(120)
"""


def thread(name: str = "1") -> RunnableConfig:
    return {"configurable": {"thread_id": name}}


@pytest.fixture(autouse=True)
def _short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chains.conversation.waiting.WAIT_SECONDS", 0.5)


@contextmanager
def stopped(path: Path) -> Iterator[int]:
    """A process that was stopped while it held the conversation."""
    process = subprocess.Popen([sys.executable, "-c", HOLDS, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        os.kill(process.pid, signal.SIGSTOP)
        yield process.pid
    finally:
        process.kill()
        process.wait(timeout=10)
        process.stdout.close()  # type: ignore[union-attr]


def seconds_until_refused(call: Callable[[], object]) -> tuple[float, MemoryUnavailableError]:
    started = time.monotonic()
    with pytest.raises(MemoryUnavailableError) as caught:
        call()
    return time.monotonic() - started, caught.value


def test_a_stopped_process_blocks_its_conversation_for_a_limited_time(make_chain: MakeChain, tmp_path: Path) -> None:
    chain = make_chain(chat := ScriptedChat())
    chain.invoke({"question": ASKED}, thread())
    calls: list[Callable[[], object]] = [
        lambda: chain.invoke({"question": ASKED}, thread()),
        lambda: list(chain.stream({"question": ASKED}, thread())),
        lambda: asyncio.run(chain.ainvoke({"question": ASKED}, thread())),
        lambda: chain.delete("1"),
    ]
    with stopped(tmp_path / "memory.sqlite") as pid:
        for call in calls:
            seconds, error = seconds_until_refused(call)
            assert 0.4 < seconds < 5
            assert "conversation '1'" in error.found
            assert f"process {pid} (python" in error.found
            assert "stopped" in error.found
            assert str(pid) in error.next_step
        # Other conversations go on, and reading too.
        chain.invoke({"question": ASKED}, thread("2"))
        assert len(chain.history("1")) == 1
        assert len(chat.seen) == 2
    # The system released the lock of the process that was killed.
    chain.invoke({"question": ASKED}, thread())
    assert len(chain.history("1")) == 2


def test_all_who_wait_give_up_at_the_same_time(make_chain: MakeChain, tmp_path: Path) -> None:
    """One after another would add up: the last of many would wait for minutes."""
    chain = make_chain(ScriptedChat())
    with stopped(tmp_path / "memory.sqlite"), ThreadPoolExecutor(8) as pool:
        waits = list(
            pool.map(lambda _: seconds_until_refused(lambda: chain.invoke({"question": ASKED}, thread())), range(8))
        )
    assert max(seconds for seconds, _ in waits) < 3


async def test_tasks_that_wait_give_up_too(make_chain: MakeChain, tmp_path: Path) -> None:
    chain = make_chain(ScriptedChat())
    with stopped(tmp_path / "memory.sqlite"):
        started = time.monotonic()
        found = await asyncio.gather(
            *(chain.ainvoke({"question": ASKED}, thread()) for _ in range(6)), return_exceptions=True
        )
        assert time.monotonic() - started < 3
    assert {type(error) for error in found} == {MemoryUnavailableError}


def test_a_turn_of_this_process_that_hangs_is_named(make_chain: MakeChain) -> None:
    chain = make_chain(ScriptedChat())
    parts = chain.stream({"question": ASKED}, thread())
    while "answer" not in next(parts):
        pass
    for call in (
        lambda: chain.invoke({"question": ASKED}, thread()),
        lambda: asyncio.run(chain.ainvoke({"question": ASKED}, thread())),
    ):
        _, error = seconds_until_refused(call)
        assert "another question of this process" in error.found
    list(parts)
    chain.invoke({"question": ASKED}, thread())
    assert len(chain.history("1")) == 2


def test_a_queue_that_moves_is_waited_for(make_chain: MakeChain) -> None:
    """Each turn is short, all of them together take longer than the wait for one."""
    chain = make_chain(ScriptedChat(answer=lambda _: "12345" * 4, pause=0.05))
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: chain.invoke({"question": ASKED}, thread()), range(6)))
    assert len(chain.history("1")) == 6


def test_threads_behind_a_locked_database_give_up_together(make_chain: MakeChain, tmp_path: Path) -> None:
    chain = make_chain(ScriptedChat())
    chain.invoke({"question": ASKED}, thread("0"))
    other = sqlite3.connect(tmp_path / "memory.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    started = threading.Barrier(6)

    def ask(number: int) -> tuple[float, MemoryUnavailableError]:
        started.wait()
        return seconds_until_refused(lambda: chain.invoke({"question": ASKED}, thread(str(number))))

    with ThreadPoolExecutor(6) as pool:
        waits = list(pool.map(ask, range(6)))
    other.close()
    assert max(seconds for seconds, _ in waits) < 2.5
    assert all("locked by" in error.found for _, error in waits)
    chain.invoke({"question": ASKED}, thread("1"))


def test_the_process_that_locks_the_database_is_named(make_chain: MakeChain, tmp_path: Path) -> None:
    chain = make_chain(ScriptedChat())
    chain.invoke({"question": ASKED}, thread())
    script = (
        "import sqlite3, sys, time; c = sqlite3.connect(sys.argv[1], isolation_level=None); "
        "c.execute('BEGIN IMMEDIATE'); print('held', flush=True); time.sleep(120)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "memory.sqlite")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        _, error = seconds_until_refused(lambda: chain.invoke({"question": ASKED}, thread()))
        assert f"process {process.pid} (python" in error.found
    finally:
        process.kill()
        process.wait(timeout=10)
        process.stdout.close()  # type: ignore[union-attr]
