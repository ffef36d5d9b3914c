"""What the database of the conversations holds of a caller's config, and who may read the files."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.sqlite import SqliteSaver

from chains import Conversations, DomainChain
from retrieval import Index
from tests.support.small_bank import ScriptedChat, make_answering

# Left out of `make check`.
pytestmark = pytest.mark.heavy

MakeChain = Callable[..., DomainChain]
ASKED = "What does a replacement card cost?"
SECRETS = ("sk-test-4711", "anna@example.org", "tenant-zebra", "tag-quagga")


def config() -> RunnableConfig:
    key, mail, tenant, tag = SECRETS
    return {
        "configurable": {"thread_id": "1", "api_key": key, "nested": {"token": key}},
        "metadata": {"user": mail, "tenant": tenant, "langgraph_request_id": key, "run_id": key, "source": key},
        "tags": [tag],
        "run_name": "ask for okapi",
    }


def all_bytes(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file())


@pytest.mark.parametrize("is_async", [False, True])
async def test_no_value_of_the_config_is_stored(make_chain: MakeChain, tmp_path: Path, is_async: bool) -> None:
    chain = make_chain(ScriptedChat())
    for _ in range(2):
        if is_async:
            await chain.ainvoke({"question": ASKED}, config())
        else:
            chain.invoke({"question": ASKED}, config())
    found = chain.memory.get_tuple({"configurable": {"thread_id": "1"}})
    assert found is not None
    assert set(found.metadata) <= {"source", "step", "parents"}
    assert all(secret not in repr(found) for secret in SECRETS)
    for content in (all_bytes(tmp_path), (chain.close(), all_bytes(tmp_path))[1]):
        assert ASKED.encode() in content
        assert [word for word in (*SECRETS, "okapi", "api_key") if word.encode() in content] == []


def test_what_an_earlier_version_stored_of_the_config_is_erased(
    make_chain: MakeChain, index: Index, tmp_path: Path
) -> None:
    chain = make_chain(ScriptedChat())
    chain.invoke({"question": ASKED}, {"configurable": {"thread_id": "1"}})
    found = chain.memory.get_tuple({"configurable": {"thread_id": "1"}})
    assert found is not None
    chain.close()
    path = tmp_path / "old" / "memory.sqlite"
    path.parent.mkdir()
    with SqliteSaver.from_conn_string(str(path)) as saver:
        for name in ("1", "2"):
            given: RunnableConfig = config() | {
                "configurable": {"thread_id": name, "checkpoint_ns": "", "key": SECRETS[0]}
            }  # type: ignore[assignment]
            saver.put(given, found.checkpoint, {"source": "loop", "step": 4, "parents": {}}, {})
    assert SECRETS[0].encode() in all_bytes(path.parent)
    kept = Conversations(path)
    assert [turn["question"] for turn in kept.history("1")] == [ASKED]
    # The log too, while the database is open.
    assert [word for word in SECRETS if word.encode() in all_bytes(path.parent)] == []
    kept.close()
    assert [word for word in SECRETS if word.encode() in all_bytes(path.parent)] == []
    chain = DomainChain(make_answering(index, ScriptedChat()), path)
    chain.invoke({"question": "And abroad?"}, {"configurable": {"thread_id": "1"}})
    assert len(chain.history("1")) == 2
    chain.close()


# Rights


@pytest.fixture(params=[0o000, 0o022, 0o777])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_files_are_the_owners_alone_whatever_the_umask(index: Index, tmp_path: Path, umask: int) -> None:
    before = os.umask(0o022)
    folder = tmp_path / "mine"
    folder.mkdir()
    os.umask(umask)
    chain = DomainChain(make_answering(index, ScriptedChat()), folder / "new" / "build" / "memory.sqlite")
    chain.invoke({"question": ASKED}, {"configurable": {"thread_id": "1"}})
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    assert {path.name for path in files} >= {"memory.sqlite", "memory.sqlite-wal", "memory.sqlite-shm"}
    assert len(files) == 4
    assert {path.name: oct(mode(path)) for path in files if mode(path) != 0o600} == {}
    made = [folder / "new", folder / "new" / "build", folder / "new" / "build" / "memory.locks"]
    assert [oct(mode(path)) for path in made] == ["0o700"] * 3
    # What was there before keeps its rights.
    assert mode(folder) == 0o755
    chain.close()
    os.umask(before)


def test_files_of_an_earlier_version_are_closed_to_others(make_chain: MakeChain, tmp_path: Path) -> None:
    chain = make_chain(ScriptedChat())
    chain.invoke({"question": ASKED}, {"configurable": {"thread_id": "1"}})
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    other = sqlite3.connect(tmp_path / "memory.sqlite")
    other.execute("SELECT COUNT(*) FROM checkpoints").fetchone()
    chain.close()
    for path in files:
        path.chmod(0o644)
    again = make_chain(ScriptedChat())
    again.invoke({"question": ASKED}, {"configurable": {"thread_id": "1"}})
    assert {path.name: oct(mode(path)) for path in files if mode(path) != 0o600} == {}
    other.close()
