"""The conversations as they are kept: listed, read again, deleted, and never half a turn."""

from __future__ import annotations

import asyncio
import shlex
import sqlite3
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt

from chains import (
    Conversations,
    DomainChain,
    InputError,
    MemoryDamagedError,
    MemoryUnavailableError,
    RemoteModelError,
    UnknownThreadError,
)
from chains.conversation.memory import ConversationMemory
from retrieval import Index
from tests.support.small_bank import SCALE, ScriptedChat, make_answering

# Left out of `make check`.
pytestmark = pytest.mark.heavy

MakeChain = Callable[..., DomainChain]
ASKED = "What does a replacement card cost?"
SAID = "A replacement card costs 12 euros."


def thread(name: object) -> RunnableConfig:
    return {"configurable": {"thread_id": name}}


@pytest.fixture
def chain(make_chain: MakeChain) -> DomainChain:
    return make_chain(ScriptedChat(answer=lambda _: SAID), scale=SCALE)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "memory.sqlite"


def rows(path: Path, table: str) -> int:
    with sqlite3.connect(path) as connection:
        [found] = connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()
    connection.close()
    return int(found)


# Listed, read again, deleted


def test_threads_are_listed_newest_first(chain: DomainChain) -> None:
    assert chain.threads() == []
    for name in ("anna", "bert", "anna"):
        chain.invoke({"question": f"{ASKED} {name}"}, thread(name))
    found = chain.threads()
    assert [(entry.thread, entry.turns, entry.first) for entry in found] == [
        ("anna", 2, f"{ASKED} anna"),
        ("bert", 1, f"{ASKED} bert"),
    ]
    assert found[0].updated > found[1].updated


def test_a_transcript_read_without_a_model_has_the_citations(chain: DomainChain, path: Path) -> None:
    cited = chain.invoke({"question": ASKED}, thread("1"))["citations"]
    assert cited
    chain.close()
    kept = Conversations(path).transcript("1")
    assert (kept["thread"], kept["summary"]) == ("1", None)
    [turn] = kept["turns"]
    assert (turn["question"], turn["answer"], turn["citations"]) == (ASKED, SAID, cited)
    assert (turn["refused"], turn["notices"]) == (False, [])
    assert turn["history"] == {"exchanges": 0, "read": 0, "summarised": 0, "tokens": 0}
    assert turn["at"].endswith("+00:00")


def test_asking_about_conversations_makes_no_database(path: Path) -> None:
    kept = Conversations(path)
    assert (kept.threads(), kept.history("1")) == ([], [])
    with pytest.raises(UnknownThreadError, match="softgraft ask DOMAIN"):
        kept.transcript("1")
    with pytest.raises(UnknownThreadError):
        kept.delete("1")
    assert list(path.parent.iterdir()) == []


def test_an_unknown_thread_names_the_known_ones(chain: DomainChain) -> None:
    for number in range(7):
        chain.invoke({"question": ASKED}, thread(number))
    for call in (chain.conversations.transcript, chain.delete):
        with pytest.raises(UnknownThreadError, match="'6', '5', '4', '3', '2' and 2 more") as caught:
            call("anna")
        assert caught.value.next_step == "run: softgraft threads list DOMAIN"
    assert len(chain.threads()) == 7


def test_the_next_steps_of_errors_can_be_copied_to_a_shell(chain: DomainChain, tmp_path: Path) -> None:
    with pytest.raises(UnknownThreadError) as unknown:
        chain.conversations.transcript("anna's; ls")
    assert shlex.split(unknown.value.next_step)[-2:] == ["--thread", "anna's; ls"]
    path = tmp_path / "my domain" / "memory.sqlite"
    path.parent.mkdir()
    path.write_bytes(b"no database" * 100)
    # SQLite's log, whose turns belong to the database.
    log = path.with_name("memory.sqlite-wal")
    log.write_bytes(b"turns")
    with pytest.raises(MemoryDamagedError) as damaged:
        Conversations(path).threads()
    subprocess.run(damaged.value.next_step.rpartition(": ")[2], shell=True, check=True)
    assert {file.name for file in path.parent.iterdir()} == {"memory.sqlite.damaged"}
    assert {file.name for file in (path.parent / "memory.sqlite.damaged").iterdir()} >= {path.name, log.name}
    assert Conversations(path).threads() == []


def test_a_deleted_conversation_leaves_no_word_in_the_file(chain: DomainChain, path: Path) -> None:
    chain.invoke({"question": "Where is my zanzibar card?"}, thread("1"))
    chain.invoke({"question": ASKED}, thread("2"))
    chain.delete("1")
    assert [entry.thread for entry in chain.threads()] == ["2"]
    assert chain.history("1") == []
    # The next turn under that id begins anew.
    chain.invoke({"question": ASKED}, thread("1"))
    assert len(chain.history("1")) == 1
    kept = b"".join(file.read_bytes() for file in path.parent.glob("memory.sqlite*") if file.is_file())
    assert b"zanzibar" not in kept
    assert ASKED.encode() in kept


def test_deleting_waits_for_the_turn_that_is_being_answered(make_chain: MakeChain) -> None:
    chain = make_chain(ScriptedChat(pause=0.01))
    chain.invoke({"question": ASKED}, thread("1"))
    parts = chain.stream({"question": ASKED}, thread("1"))
    while "answer" not in next(parts):
        pass
    deleting = threading.Thread(target=chain.delete, args=["1"])
    deleting.start()
    list(parts)
    deleting.join(timeout=5)
    assert not deleting.is_alive()
    assert chain.history("1") == []


def test_one_id_in_two_domains_is_two_conversations(index: Index, tmp_path: Path) -> None:
    chains = [
        DomainChain(make_answering(index, ScriptedChat()), tmp_path / name / "memory.sqlite")
        for name in ("bank", "clinic")
    ]
    for number, chain in enumerate(chains):
        chain.invoke({"question": f"question number {number} about a card"}, thread("1"))
    for number, chain in enumerate(chains):
        assert [turn["question"] for turn in chain.history("1")] == [f"question number {number} about a card"]
        chain.close()


# What is kept


def test_a_thread_keeps_one_checkpoint_and_no_writes(chain: DomainChain, path: Path) -> None:
    for _ in range(5):
        chain.invoke({"question": ASKED}, thread("1"))
    chain.invoke({"question": ASKED}, thread("2"))
    assert len(chain.history("1")) == 5
    assert (rows(path, "checkpoints"), rows(path, "writes")) == (2, 0)


def state(chain: DomainChain, name: str) -> dict[str, Any] | None:
    found = chain.memory.get_tuple(thread(name))
    return None if found is None else dict(found.checkpoint["channel_values"])


@pytest.mark.parametrize("turns_before", [0, 1])
@pytest.mark.parametrize("parts_taken", [1, 2, 3, 5])
def test_a_stream_that_is_closed_leaves_the_conversation_as_before(
    chain: DomainChain, path: Path, turns_before: int, parts_taken: int
) -> None:
    for _ in range(turns_before):
        chain.invoke({"question": ASKED}, thread("1"))
    before = state(chain, "1")
    parts = chain.stream({"question": "Is the branch on Mill Street open?"}, thread("1"))
    for _ in range(parts_taken):
        next(parts)
    parts.close()  # type: ignore[attr-defined]
    assert state(chain, "1") == before
    assert (rows(path, "checkpoints"), rows(path, "writes")) == (turns_before, 0)


@pytest.mark.parametrize("turns_before", [0, 1])
@pytest.mark.parametrize("way", ["cancelled", "closed"])
async def test_an_incomplete_async_turn_does_not_change_the_conversation(
    make_chain: MakeChain, path: Path, turns_before: int, way: str
) -> None:
    chain = make_chain(chat := ScriptedChat())
    for _ in range(turns_before):
        await chain.ainvoke({"question": ASKED}, thread("1"))
    before = state(chain, "1")
    chat.pause = 0.02
    parts = chain.astream({"question": "Is the branch on Mill Street open?"}, thread("1"))
    if way == "closed":
        while "answer" not in await anext(parts):
            pass
        await parts.aclose()  # type: ignore[attr-defined]
    else:
        task = asyncio.create_task(_drained(parts))
        while len(chat.seen) == turns_before:
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert state(chain, "1") == before
    assert (rows(path, "checkpoints"), rows(path, "writes")) == (turns_before, 0)


async def _drained(parts: Any) -> list[Any]:
    return [part async for part in parts]


def test_the_turn_is_kept_before_its_last_part_is_given(chain: DomainChain) -> None:
    parts = chain.stream({"question": ASKED}, thread("1"))
    while "citations" not in next(parts):
        pass
    parts.close()  # type: ignore[attr-defined]
    assert [turn["answer"] for turn in chain.history("1")] == [SAID]


def test_a_model_that_fails_leaves_nothing_behind(make_chain: MakeChain, path: Path) -> None:
    def fails(question: str) -> str:
        raise RuntimeError("the model is gone")

    chain = make_chain(ScriptedChat(answer=fails))
    with pytest.raises(RemoteModelError, match="the model is gone"):
        chain.invoke({"question": ASKED}, thread("1"))
    assert (chain.threads(), rows(path, "checkpoints"), rows(path, "writes")) == ([], 0, 0)


@pytest.mark.parametrize("extra", [{"checkpoint_id": "1f0"}, {"checkpoint_ns": "a"}])
def test_an_earlier_state_is_rejected(chain: DomainChain, extra: dict[str, str]) -> None:
    with pytest.raises(InputError, match=next(iter(extra))):
        chain.invoke({"question": ASKED}, {"configurable": {"thread_id": "1", **extra}})


def test_a_graph_with_an_interrupt_is_rejected(path: Path) -> None:
    def ask(state: dict[str, Any]) -> dict[str, Any]:
        return {"said": interrupt("may I?")}

    graph = StateGraph(dict)
    graph.add_node("ask", ask)
    graph.add_edge(START, "ask")
    graph.add_edge("ask", END)
    compiled = graph.compile(checkpointer=ConversationMemory.open(path))
    with pytest.raises(InputError, match="an interrupt"):
        compiled.invoke({"said": ""}, thread("1"))


# Damage and locks


def answers_nothing(call: Callable[[], object], kind: type[Exception], chat: ScriptedChat) -> Exception:
    asked = len(chat.seen)
    with pytest.raises(kind) as caught:
        call()
    assert len(chat.seen) == asked
    return caught.value


@pytest.mark.parametrize("damage", ["no database", "torn", "another schema"])
def test_a_damaged_database_is_reported_and_not_changed(make_chain: MakeChain, path: Path, damage: str) -> None:
    first = make_chain(chat := ScriptedChat())
    first.invoke({"question": ASKED * 40}, thread("1"))
    first.close()
    if damage == "no database":
        path.write_bytes(b"This was a database once. " * 400)
    elif damage == "torn":
        whole = path.read_bytes()
        path.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    else:
        with sqlite3.connect(path) as connection:
            connection.execute("ALTER TABLE checkpoints RENAME COLUMN parent_checkpoint_id TO parent")
        connection.close()
    before = path.read_bytes()
    chain = make_chain(chat)
    for call in (lambda: chain.invoke({"question": ASKED}, thread("1")), lambda: chain.history("1"), chain.threads):
        error = answers_nothing(call, MemoryDamagedError, chat)
        assert str(path) in error.found  # type: ignore[attr-defined]
        assert "start a new database: mkdir" in error.next_step  # type: ignore[attr-defined]
    chain.close()
    if damage != "another schema":
        assert path.read_bytes() == before
    # Without a thread nothing is read or written.
    assert make_chain(chat).invoke({"question": ASKED})["answer"]


def test_a_locked_database_is_reported_and_loses_nothing(
    make_chain: MakeChain, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chains.conversation.waiting.WAIT_SECONDS", 0.05)
    chain = make_chain(ScriptedChat())
    chain.invoke({"question": ASKED}, thread("1"))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(MemoryUnavailableError, match="locked by another program"):
        chain.invoke({"question": ASKED}, thread("1"))
    # Reading is still possible.
    assert len(chain.history("1")) == 1
    other.execute("ROLLBACK")
    other.close()
    chain.invoke({"question": ASKED}, thread("1"))
    assert len(chain.history("1")) == 2


def test_a_file_in_place_of_the_folder_is_reported(make_chain: MakeChain, index: Index, tmp_path: Path) -> None:
    (tmp_path / "build").write_text("not a folder")
    chain = DomainChain(make_answering(index, ScriptedChat()), tmp_path / "build" / "memory.sqlite")
    with pytest.raises(MemoryUnavailableError, match="build"):
        chain.invoke({"question": ASKED}, thread("1"))


def test_a_conversation_without_the_newer_fields_can_be_continued(chain: DomainChain) -> None:
    chain.invoke({"question": ASKED}, thread("1"))
    found = chain.memory.get_tuple(thread("1"))
    assert found is not None
    values = found.checkpoint["channel_values"]
    values["turns"] = [{name: turn[name] for name in ("question", "answer", "citations")} for turn in values["turns"]]
    for name in ("history_window", "notices", "complete"):
        del values[name]
    chain.memory.put({"configurable": {"thread_id": "1", "checkpoint_ns": ""}}, found.checkpoint, found.metadata, {})
    chain.invoke({"question": "And how long does it take?"}, thread("1"))
    assert [turn["question"] for turn in chain.history("1")] == [ASKED, "And how long does it take?"]
    assert chain.history("1")[1]["history"]["read"] == 1
