"""What goes wrong with a model behind an API: each failure is one error that says what to do, and nothing of the turn
is remembered."""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from api_server import QUESTION, REPLY, Act, Hang, Refuse, Say, Server, Write, open_shop, serve
from langchain_core.runnables import RunnableConfig

from chains import RemoteModelError
from retrieval import Encoder
from softgraft import Domain
from softgraft.__main__ import main
from softgraft.errors import outcome_of

pytestmark = [pytest.mark.enable_socket, pytest.mark.allow_hosts(["127.0.0.1"])]

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}
# A server that says nothing is waited for so long, and a call is made again once.
SETTINGS = "remote:\n  timeout_seconds: 0.25\n  max_retries: 1\n"
SOON = (("Retry-After", "0.05"),)
PIECES = 2


@dataclass(frozen=True)
class Failure:
    """What the server does, and what is made of it.

    Attributes:
        act: of the server.
        found, next_step: what the error says.
        calls: how often the server is asked.
        shown: whether words had reached the caller before.
    """

    act: Act
    found: str
    next_step: str
    calls: int = 1
    shown: bool = False


FAILURES = {
    "wrong key": Failure(Refuse(401, "Incorrect API key provided"), "refuses the key.*Incorrect", "OPENAI_API_KEY"),
    "forbidden": Failure(Refuse(403, "Not for you"), "refuses the key.*Not for you", "OPENAI_API_KEY"),
    "unknown model": Failure(
        Refuse(404, "The model `small-model` does not exist"), "does not exist", "`base_url` and the name of the model"
    ),
    "rate limit": Failure(
        Refuse(429, "Rate limit reached", headers=SOON), "no more requests.*Rate", "remote.max_retries", calls=2
    ),
    "server error": Failure(Refuse(500, "Oh no", headers=SOON), "failed on its side.*Oh no", "ask again", calls=2),
    "overloaded": Failure(Refuse(503, "Too busy", headers=SOON), "failed on its side.*Too busy", "ask again", calls=2),
    "setting": Failure(
        Refuse(400, "Unsupported value: 'temperature' does not support 0"), "not take the request.*'temperature'",
        "`answer.temperature: null`",
    ),
    "prompt too long": Failure(
        Refuse(400, "This model's maximum context length is 99 tokens", code="context_length_exceeded"),
        "has too short a context for the prompt", "retrieval.evidence_tokens",
    ),
    "prompt too long for another server": Failure(
        Refuse(400, "the request exceeds the available context size"), "has too short a context for the prompt", "history_turns"
    ),
    "silent": Failure(Hang(), "did not answer in time", "remote.timeout_seconds", calls=2),
    "silent behind the first words": Failure(
        Hang(begun=True), "did not answer in time", "remote.timeout_seconds", calls=1
    ),
    "connection lost": Failure(
        Say(break_after=PIECES), "cannot be reached, or the connection was lost", "check that the server runs",
        shown=True,
    ),
    "ends without an end": Failure(Say(finish=None), "breaks off", "ask again", shown=True),
    "error behind the first words": Failure(
        Say(then=b'data: {"error": {"message": "The engine died"}}\n\n'), "The engine died", "check", shown=True
    ),
    "not JSON": Failure(Say(then=b"data: {not json\n\n"), "is not its protocol", "/v1", shown=True),
    "a web page": Failure(Write(b"<html>Welcome</html>", "text/html"), "is not its protocol", "/v1"),
    "nothing": Failure(Write(b""), "is not its protocol", "/v1"),
    "withheld": Failure(Say(finish="content_filter"), "withheld", "in other words", shown=True),
    "thought to the end": Failure(Say(text="", finish="length"), "used up answer.max_tokens", "set it to null"),
}  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve() as server:
        yield server


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, server: Server, encoder: Encoder) -> Iterator[Domain]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_API_KEY", "sk-test")
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            patch.delenv(name, raising=False)
        domain = open_shop(tmp_path_factory.mktemp("failing") / "shop", server, encoder, SETTINGS)
        yield domain
        domain.close()


@pytest.fixture
def domain(shop: Domain, server: Server) -> Domain:
    """The domain with no conversation, on a server that was asked nothing."""
    shop.chain.memory.delete_thread("1")
    for seen in (server.requests, server.headers, server.times):
        seen.clear()
    server.acts = [Say()]
    return shop


async def shown(domain: Domain, way: str) -> str:
    """The words that reach the caller of one turn, collected into `words` as well, for when it fails."""
    words.clear()
    given = {"question": QUESTION}
    if way == "sync":
        for part in domain.chain.stream(given, THREAD):
            words.append(part.get("answer", ""))
    else:
        async for part in domain.chain.astream(given, THREAD):
            words.append(part.get("answer", ""))
    return "".join(words)


words: list[str] = []


@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
async def test_a_failure_is_one_error_and_the_turn_is_forgotten(
    domain: Domain, server: Server, failure: Failure, way: str
) -> None:
    server.acts = [failure.act]
    with pytest.raises(RemoteModelError) as caught:
        await shown(domain, way)
    error = caught.value
    assert isinstance(error, RemoteModelError)
    assert outcome_of(error).exit_code == 6
    assert re.search(failure.found, error.found), error.found
    assert failure.next_step in error.next_step
    assert error.expected
    assert len(server.requests) == failure.calls
    assert bool("".join(words)) is failure.shown
    assert domain.chain.history("1") == []
    # The next turn goes well, and the model reads nothing of the one that failed.
    server.acts = [Say()]
    assert await shown(domain, way) == REPLY
    assert [message["role"] for message in server.requests[-1]["messages"]] == ["system", "user"]
    assert [turn["answer"] for turn in domain.chain.history("1")] == [REPLY]


@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize("status", [429, 500])
async def test_what_fails_for_the_moment_is_asked_again_when_the_server_says_so(
    domain: Domain, server: Server, status: int, way: str
) -> None:
    server.acts = [Refuse(status, "Not now", headers=(("Retry-After", "0.3"),)), Say()]
    assert await shown(domain, way) == REPLY
    first, second = server.times
    assert 0.3 <= second - first < 3
    assert server.requests[0] == server.requests[1]


async def test_no_server_at_all(tmp_path: Path, encoder: Encoder, shop: Domain) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nowhere = Server(url=f"http://127.0.0.1:{free.getsockname()[1]}/v1")
    domain = open_shop(tmp_path / "shop", nowhere, encoder, "remote:\n  max_retries: 0\n")
    try:
        for way in ("sync", "async"):
            with pytest.raises(RemoteModelError, match="cannot be reached") as caught:
                await shown(domain, way)
            assert "`base_url`" in caught.value.next_step
    finally:
        domain.close()


def test_a_failure_in_an_evaluation_stops_it(domain: Domain, server: Server) -> None:
    server.acts = [Say(), Refuse(401, "Incorrect API key provided")]
    with pytest.raises(RemoteModelError, match="refuses the key"):
        domain.evaluate()
    assert len(server.requests) == 2


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_the_command_says_it_with_its_exit_code(
    domain: Domain,
    server: Server,
    options: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server.acts = [Refuse(401, "Incorrect API key provided")]
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setattr(sys, "argv", ["softgraft", "ask", str(domain.folder), QUESTION, *options])
    with pytest.raises(SystemExit) as left:
        main()
    said = capsys.readouterr()
    text = said.out if options else said.err
    assert left.value.code == 6
    assert "Incorrect API key provided" in text
    assert "OPENAI_API_KEY" in text
    assert "Traceback" not in said.err
