"""Deleting: the text is gone from the files, or the caller is told that it is not yet."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from langchain_core.runnables import RunnableConfig

from chains import Conversations, DomainChain, MemoryUnavailableError, UnknownThreadError
from tests.support.small_bank import ScriptedChat

# Left out of `make check`.
pytestmark = pytest.mark.heavy

MakeChain = Callable[..., DomainChain]
WORD = "zanzibar"
ASKED = f"Where is my {WORD} card?"
# Deletes a conversation and dies before the log is truncated.
KILLED = """
import os, signal, sqlite3, sys
from pathlib import Path
from chains import Conversations

kept = Conversations(Path(sys.argv[1]))
kept.memory.conn.set_trace_callback(
    lambda statement: os.kill(os.getpid(), signal.SIGKILL) if "wal_checkpoint" in statement else None
)
kept.delete("anna")
"""


def thread(name: str) -> RunnableConfig:
    return {"configurable": {"thread_id": name}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "memory.sqlite"


@pytest.fixture
def chain(make_chain: MakeChain) -> DomainChain:
    """Two conversations, one of which has the word in many turns."""
    chain = make_chain(ScriptedChat(answer=lambda question: f"{question} " * 40))
    for number in range(6):
        chain.invoke({"question": f"{ASKED} {number}"}, thread("anna"))
        chain.invoke({"question": f"Is card {number} free?"}, thread("bert"))
    return chain


def holding(path: Path, word: str = WORD) -> list[str]:
    """Names of the files that contain the word.

    Another process reads them: a process that closes a file releases its own locks on it, those of SQLite too.
    """
    files = [str(file) for file in sorted(path.parent.glob(f"{path.name}*")) if file.is_file()]
    done = subprocess.run(["grep", "-lF", word, *files], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return [Path(name).name for name in done.stdout.splitlines()]


def reader_of(path: Path) -> sqlite3.Connection:
    """Another program in the middle of reading."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN")
    other.execute("SELECT COUNT(*) FROM checkpoints").fetchone()
    return other


def test_nothing_of_a_deleted_conversation_is_left(chain: DomainChain, path: Path) -> None:
    assert holding(path)
    chain.delete("anna")
    assert holding(path) == []
    assert len(chain.history("bert")) == 6


def test_a_reader_that_keeps_the_text_is_reported(
    chain: DomainChain, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chains.conversation.erasure.WAIT_SECONDS", 0.05)
    other = reader_of(path)
    with pytest.raises(MemoryUnavailableError) as caught:
        chain.delete("anna")
    assert type(caught.value).__name__ == "ErasureIncompleteError"
    assert "'anna' is deleted, but its text is still in" in caught.value.found
    assert "memory.sqlite-wal" in caught.value.found
    assert "softgraft threads delete DOMAIN anna --yes" in caught.value.next_step
    assert holding(path)
    # It can no longer be read, and a second call does not say that it succeeded.
    assert [entry.thread for entry in chain.threads()] == ["bert"]
    with pytest.raises(MemoryUnavailableError, match="still in"):
        chain.delete("anna")
    other.close()
    assert chain.conversations.turn_count("anna") == 0
    chain.delete("anna")
    assert holding(path) == []
    # Then the id is unknown.
    with pytest.raises(UnknownThreadError):
        chain.delete("anna")
    assert len(chain.history("bert")) == 6


def test_the_next_opening_finishes_an_erasure_that_a_reader_stopped(
    make_chain: MakeChain, chain: DomainChain, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chains.conversation.erasure.WAIT_SECONDS", 0.05)
    other = reader_of(path)
    with pytest.raises(MemoryUnavailableError):
        chain.delete("anna")
    # A connection that stays open keeps SQLite from removing the log when the others close.
    idle = sqlite3.connect(path)
    idle.execute("SELECT COUNT(*) FROM checkpoints").fetchone()
    other.close()
    chain.close()
    assert holding(path)
    again = Conversations(path)
    assert [entry.thread for entry in again.threads()] == ["bert"]
    assert holding(path) == []
    again.close()
    idle.close()


def test_the_next_opening_finishes_an_erasure_that_was_killed(chain: DomainChain, path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False, timeout=60, cwd=Path.cwd())
    assert done.returncode == -9
    assert holding(path)
    assert len(chain.conversations.threads()) == 1
    again = Conversations(path)
    assert [entry.thread for entry in again.threads()] == ["bert"]
    assert holding(path) == []
    again.close()


def test_a_new_conversation_under_the_id_does_not_hide_that_the_old_text_remains(
    chain: DomainChain, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chains.conversation.erasure.WAIT_SECONDS", 0.05)
    other = reader_of(path)
    with pytest.raises(MemoryUnavailableError):
        chain.delete("anna")
    chain.invoke({"question": "Is the card free?"}, thread("anna"))
    other.close()
    assert len(chain.history("anna")) == 1
    chain.delete("anna")
    assert holding(path) == []
    assert chain.history("anna") == []


def test_a_turn_that_replaces_another_leaves_its_text_in_no_file(chain: DomainChain, path: Path) -> None:
    """A state that another program stores may have fewer or other turns."""
    found = chain.memory.get_tuple(thread("anna"))
    assert found is not None
    turns = [
        {**turn, "question": "?", "query": "?", "answer": "!", "citations": []}
        for turn in found.checkpoint["channel_values"]["turns"]
    ]
    values = {**found.checkpoint["channel_values"], "turns": turns[:2]}
    state = {name: value for name, value in values.items() if WORD not in repr(value)}
    chain.memory.put(
        {"configurable": {"thread_id": "anna", "checkpoint_ns": ""}},
        {**found.checkpoint, "channel_values": state},
        found.metadata,
        {},
    )
    assert [turn["question"] for turn in chain.history("anna")] == ["?", "?"]
    chain.delete("bert")
    assert holding(path) == []
