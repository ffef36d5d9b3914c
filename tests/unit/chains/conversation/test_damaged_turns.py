"""Damage in stored turns: it is found, said and never used, and the intact turns can still be read."""

from __future__ import annotations

import random
import re
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig

from chains import Conversations, DomainChain, InputError, MemoryDamagedError, UnknownThreadError
from tests.support.small_bank import ScriptedChat

# Left out of `make check`.
pytestmark = pytest.mark.heavy

MakeChain = Callable[..., DomainChain]
ANSWERS = ("You have 120 days to dispute it.", "Keep the receipt.", "It costs 12 euros.")
FLIPS = 1500


def thread(name: str) -> RunnableConfig:
    return {"configurable": {"thread_id": name}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "memory.sqlite"


@pytest.fixture
def chat() -> ScriptedChat:
    """Answers from a list, again and again."""
    chat = ScriptedChat()
    chat.answer = lambda _: ANSWERS[(len(chat.seen) - 1) % len(ANSWERS)]
    return chat


@pytest.fixture
def stored(make_chain: MakeChain, chat: ScriptedChat, path: Path) -> Path:
    """A closed database of two conversations with three turns each."""
    chain = make_chain(chat)
    for name in ("anna", "bert"):
        for number in range(3):
            chain.invoke({"question": f"What about card {number} of {name}?"}, thread(name))
    chain.close()
    return path


def change_rows(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as connection:
        assert connection.execute(statement).rowcount
    connection.close()


def answers(transcript: dict[str, Any]) -> dict[int, str]:
    return {turn["number"]: turn["answer"] for turn in transcript["turns"]}


def test_one_wrong_digit_in_an_answer_is_found(make_chain: MakeChain, chat: ScriptedChat, stored: Path) -> None:
    change_rows(stored, "UPDATE turns SET turn = CAST(REPLACE(CAST(turn AS TEXT), '120 days', '020 days') AS BLOB) "
                "WHERE thread_id = 'anna' AND number = 1")  # fmt: skip
    before, asked = stored.read_bytes(), len(chat.seen)
    chain = make_chain(chat)
    for call in (
        lambda: chain.invoke({"question": "And abroad?"}, thread("anna")),
        lambda: chain.history("anna"),
        lambda: chain.messages("anna"),
        lambda: chain.memory.get_tuple(thread("anna")),
    ):
        with pytest.raises(MemoryDamagedError) as caught:
            call()
        assert "turn 1 of the conversation 'anna'" in caught.value.found
        assert "checksum" in caught.value.found
        assert "softgraft threads export DOMAIN anna" in caught.value.next_step
        assert "softgraft threads delete DOMAIN anna --yes" in caught.value.next_step
    # The model was not asked, the other turns and conversations are there.
    assert len(chat.seen) == asked
    transcript = chain.conversations.transcript("anna")
    assert transcript["damaged"] == ["turn 1"]
    assert answers(transcript) == {2: ANSWERS[1], 3: ANSWERS[2]}
    assert [turn["answer"] for turn in chain.history("bert")] == list(ANSWERS)
    assert [(entry.thread, entry.turns, entry.damaged) for entry in chain.threads()] == [
        ("bert", 3, False), ("anna", 3, True),
    ]  # fmt: skip
    chain.close()
    assert stored.read_bytes() == before
    chain = make_chain(chat)
    chain.delete("anna")
    chain.invoke({"question": "And abroad?"}, thread("anna"))
    chain.invoke({"question": "And abroad?"}, thread("bert"))
    assert (len(chain.history("anna")), len(chain.history("bert"))) == (1, 4)


def test_one_wrong_byte_of_the_file_is_found_wherever_the_answer_stands(stored: Path) -> None:
    content = stored.read_bytes()
    places = [match.start() for match in re.finditer(b"120 days", content)]
    damaged = []
    for place in places:
        stored.write_bytes(content[:place] + b"0" + content[place + 1 :])
        kept = Conversations(stored)
        for name in ("anna", "bert"):
            transcript = kept.transcript(name)
            damaged += transcript["damaged"]
            assert "020 days" not in str(transcript)
        kept.close()
    assert len(damaged) == len(places) >= 4
    # Once in the turn itself, and in what the last answer was made from.
    assert set(damaged) == {"turn 1", "the state"}


@pytest.mark.parametrize(
    ("statement", "damaged", "left"),
    [
        ("DELETE FROM turns WHERE thread_id = 'anna' AND number = 2", ["turn 2"], [1, 3]),
        ("DELETE FROM turns WHERE thread_id = 'anna' AND number = 3", ["turn 3"], [1, 2]),
        ("DELETE FROM turns WHERE thread_id = 'anna'", ["turn 1", "turn 2", "turn 3"], []),
        ("UPDATE turns SET turn = x'c1c1c1' WHERE thread_id = 'anna' AND number = 2", ["turn 2"], [1, 3]),
        ("UPDATE turns SET digest = x'00' WHERE thread_id = 'anna' AND number = 2", ["turn 2"], [1, 3]),
        ("UPDATE turns SET type = 'json' WHERE thread_id = 'anna' AND number = 2", ["turn 2"], [1, 3]),
        ("UPDATE turns SET type = CAST(x'ff6d' AS TEXT) WHERE thread_id = 'anna' AND number = 2", ["turn 2"], [1, 3]),
        ("UPDATE turns SET number = 9 WHERE thread_id = 'anna' AND number = 2", ["turn 2"], [1, 3]),
        # Another turn in its place.
        ("UPDATE turns SET (digest, turn) = (SELECT digest, turn FROM turns WHERE thread_id = 'bert' AND number = 2) "
         "WHERE thread_id = 'anna' AND number = 2", ["turn 2"], [1, 3]),
        ("DELETE FROM checkpoints WHERE thread_id = 'anna'", ["the state"], [1, 2, 3]),
        ("UPDATE checkpoints SET checkpoint = x'c1c1c1' WHERE thread_id = 'anna'", ["the state"], [1, 2, 3]),
        ("UPDATE checkpoints SET metadata = '{\"step\": 9}' WHERE thread_id = 'anna'", ["the state"], [1, 2, 3]),
        ("UPDATE checkpoints SET turn_count = 2 WHERE thread_id = 'anna'", ["the state"], [1, 2, 3]),
        ("UPDATE checkpoints SET thread_id = 'anne' WHERE thread_id = 'anna'", ["the state"], [1, 2, 3]),
    ],
)  # fmt: skip
def test_what_is_damaged_is_named_and_the_rest_is_read(
    make_chain: MakeChain, chat: ScriptedChat, stored: Path, statement: str, damaged: list[str], left: list[int]
) -> None:
    change_rows(stored, statement)
    chain = make_chain(chat)
    transcript = chain.conversations.transcript("anna")
    assert transcript["damaged"] == damaged
    assert answers(transcript) == {number: ANSWERS[number - 1] for number in left}
    asked = len(chat.seen)
    with pytest.raises(MemoryDamagedError, match=damaged[0]):
        chain.invoke({"question": "And abroad?"}, thread("anna"))
    assert len(chat.seen) == asked
    assert {entry.thread: entry.turns for entry in chain.threads()}["bert"] == 3
    chain.delete("anna")
    with pytest.raises(UnknownThreadError):
        chain.conversations.transcript("anna")
    assert len(chain.history("bert")) == 3


def test_a_conversation_whose_name_is_damaged_can_be_deleted(stored: Path) -> None:
    change_rows(stored, "UPDATE checkpoints SET thread_id = CAST(x'ff6161' AS TEXT) WHERE thread_id = 'anna'")
    kept = Conversations(stored)
    assert [(entry.thread, entry.damaged) for entry in kept.threads()] == [
        ("bert", False), ("\ufffdaa", True), ("anna", True),
    ]  # fmt: skip
    for name in ("\ufffdaa", "anna"):
        kept.delete(name)
    assert [entry.thread for entry in kept.threads()] == ["bert"]


@pytest.mark.parametrize("seed", range(2))
def test_no_flipped_bit_changes_a_turn_unnoticed(stored: Path, tmp_path: Path, seed: int) -> None:
    """Every read of a file with one wrong bit gives what was stored, or says what is damaged."""
    kept = Conversations(stored)
    wanted = {name: answers(kept.transcript(name)) for name in ("anna", "bert")}
    kept.close()
    content, rng = stored.read_bytes(), random.Random(seed)
    outcomes = {"intact": 0, "a part is damaged": 0, "error": 0}
    for number in range(FLIPS // 2):
        folder = tmp_path / f"flip-{number}"
        folder.mkdir()
        place = rng.randrange(len(content))
        flipped = bytearray(content)
        flipped[place] ^= 1 << rng.randrange(8)
        (folder / "memory.sqlite").write_bytes(flipped)
        damaged = Conversations(folder / "memory.sqlite")
        for name in wanted:
            try:
                transcript = damaged.transcript(name)
            except MemoryDamagedError:
                outcomes["error"] += 1
                continue
            read = answers(transcript)
            outcomes["a part is damaged" if transcript["damaged"] else "intact"] += 1
            assert read.items() <= wanted[name].items(), (place, transcript)
            assert transcript["damaged"] or read == wanted[name], (place, transcript)
        damaged.close()
        shutil.rmtree(folder)
    assert outcomes["intact"] > FLIPS // 4
    assert outcomes["a part is damaged"] > FLIPS // 20


def test_only_turns_that_are_new_are_written(make_chain: MakeChain, chat: ScriptedChat, path: Path) -> None:
    chain = make_chain(chat)
    chain.invoke({"question": "What about card 0?"}, thread("anna"))
    written: list[str] = []
    chain.memory.conn.set_trace_callback(
        lambda statement: written.append(statement) if "INTO turns" in statement else None
    )
    for number in range(1, 4):
        chain.invoke({"question": f"What about card {number}?"}, thread("anna"))
    assert len(written) == 3
    assert len(chain.history("anna")) == 4


@pytest.mark.parametrize("name", ["a\ud800", "\udcff"])
def test_an_id_that_no_file_can_store_is_rejected(make_chain: MakeChain, chat: ScriptedChat, name: str) -> None:
    chain = make_chain(chat)
    for call in (
        lambda: chain.invoke({"question": "And abroad?"}, thread(name)),
        lambda: chain.conversations.transcript(name),
        lambda: chain.conversations.delete(name),
    ):
        chain.invoke({"question": "And abroad?"}, thread("1"))
        with pytest.raises(InputError, match="the thread id"):
            call()
