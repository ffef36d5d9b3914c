"""Titles of conversations: given, taken away, deleted with the conversation, and never lost to an upgrade."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from chains import (
    Conversations,
    DomainChain,
    InputError,
    MemoryDamagedError,
    MemoryUnavailableError,
    UnknownThreadError,
)
from chains.conversation.titles import MAX_LENGTH
from tests.support.small_bank import SCALE, ScriptedChat

pytestmark = pytest.mark.heavy

MakeChain = Callable[..., DomainChain]


@pytest.fixture
def asked(make_chain: MakeChain) -> DomainChain:
    """A chain with the conversation `anna` of one turn."""
    chain = make_chain(ScriptedChat(answer=lambda _: "A replacement card costs 12 euros."), scale=SCALE)
    chain.invoke({"question": "What does a replacement card cost?"}, config={"configurable": {"thread_id": "anna"}})
    return chain


def test_a_title_is_listed_and_stays_when_the_conversation_goes_on(asked: DomainChain) -> None:
    conversations = asked.conversations
    assert conversations.threads()[0].title == ""
    assert conversations.rename("anna", "  بطاقة \n بديلة ") == "بطاقة بديلة"
    asked.invoke({"question": "And abroad?"}, config={"configurable": {"thread_id": "anna"}})
    with closing(Conversations(conversations.path)) as again:
        assert [(one.thread, one.title, one.turns) for one in again.threads()] == [("anna", "بطاقة بديلة", 2)]
        assert again.transcript("anna")["title"] == "بطاقة بديلة"
        assert again.rename("anna", " ") == ""
        assert again.threads()[0].title == ""


def test_unsuitable_titles_and_unknown_conversations_change_nothing(asked: DomainChain, tmp_path: Path) -> None:
    conversations = asked.conversations
    conversations.rename("anna", "x" * MAX_LENGTH)
    for title in ("x" * (MAX_LENGTH + 1), "\ud800"):
        with pytest.raises(InputError):
            conversations.rename("anna", title)
    with pytest.raises(UnknownThreadError):
        conversations.rename("bert", "Card")
    assert conversations.threads()[0].title == "x" * MAX_LENGTH
    empty = Conversations(tmp_path / "none" / "memory.sqlite")
    with pytest.raises(UnknownThreadError):
        empty.rename("anna", "Card")
    assert not empty.path.exists()


def test_a_title_is_erased_with_its_conversation(asked: DomainChain) -> None:
    asked.conversations.rename("anna", "quokka dispute")
    asked.conversations.delete("anna")
    asked.close()
    path = asked.conversations.path
    files = [path, path.with_name(f"{path.name}-wal")]
    assert not any(b"quokka" in file.read_bytes() for file in files if file.exists())
    with closing(Conversations(path)) as again, pytest.raises(UnknownThreadError):
        again.rename("anna", "Card")


def test_a_damaged_title_is_reported_and_questions_go_on(asked: DomainChain) -> None:
    asked.conversations.rename("anna", "Card")
    with closing(sqlite3.connect(asked.conversations.path)) as connection:
        connection.execute("UPDATE titles SET title = 'Cord'")
        connection.commit()
    [found] = asked.conversations.threads()
    assert found.damaged
    assert found.title == ""
    assert asked.conversations.transcript("anna")["damaged"] == ["the title"]
    asked.invoke({"question": "And abroad?"}, config={"configurable": {"thread_id": "anna"}})
    asked.conversations.rename("anna", "Card")
    assert not asked.conversations.threads()[0].damaged


def test_a_database_without_titles_is_upgraded_with_its_conversations(asked: DomainChain) -> None:
    path = asked.conversations.path
    asked.close()
    with closing(sqlite3.connect(path)) as connection:
        [version] = connection.execute("PRAGMA user_version").fetchone()
        connection.execute("DROP TABLE titles")
        connection.execute(f"PRAGMA user_version = {version - 1}")
        connection.commit()
    with closing(Conversations(path)) as again:
        again.rename("anna", "Card")
        assert [(one.title, one.turns) for one in again.threads()] == [("Card", 1)]
    with closing(sqlite3.connect(path)) as connection:
        [version] = connection.execute("PRAGMA user_version").fetchone()
        connection.execute(f"PRAGMA user_version = {version + 1}")
        connection.commit()
    with closing(Conversations(path)) as newer, pytest.raises(MemoryUnavailableError):
        newer.threads()


def test_a_damaged_name_in_the_schema_is_reported(asked: DomainChain) -> None:
    path = asked.conversations.path
    asked.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = path.read_bytes()
    name = b"CREATE TABLE titles (thread_id"
    assert content.count(name) == 1
    path.write_bytes(content.replace(name, b"CREATE TABLE titles (thread\xccid"))
    with closing(Conversations(path)) as damaged, pytest.raises(MemoryDamagedError):
        damaged.rename("anna", "Card")
