"""Failures of a remote model: each raises one error with a next step, and the turn is not remembered."""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from api_server import QUESTION, REPLY, ApiError, RawBody, Reply, Response, Server, Silence, open_shop, serve
from langchain_core.runnables import RunnableConfig

from chains import RemoteModelError
from retrieval import Encoder
from softgraft import Domain
from softgraft.__main__ import main
from softgraft.errors import outcome_of

pytestmark = [pytest.mark.enable_socket, pytest.mark.allow_hosts(["127.0.0.1"])]

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}
# A silent server times out after this time, and a call is retried once.
SETTINGS = "remote:\n  timeout_seconds: 0.25\n  max_retries: 1\n"
SOON = (("Retry-After", "0.05"),)
PIECES = 2


@dataclass(frozen=True)
class Failure:
    """A bad response, and the error that it must raise.

    Attributes:
        response: of the server.
        found: pattern of the error's `found`.
        next_step: part of the error's `next_step`.
        calls: number of requests.
        shown: whether the caller has received words before the error.
    """

    response: Response
    found: str
    next_step: str
    calls: int = 1
    shown: bool = False


FAILURES = {
    "wrong key": Failure(ApiError(401, "Incorrect API key provided"), "refuses the key.*Incorrect", "OPENAI_API_KEY"),
    "forbidden": Failure(ApiError(403, "Not for you"), "refuses the key.*Not for you", "OPENAI_API_KEY"),
    "unknown model": Failure(
        ApiError(404, "The model `small-model` does not exist"),
        "does not exist",
        "`base_url` and the name of the model",
    ),
    "rate limit": Failure(
        ApiError(429, "Rate limit reached", headers=SOON), "no more requests.*Rate", "remote.max_retries", calls=2
    ),
    "server error": Failure(ApiError(500, "Oh no", headers=SOON), "failed on its side.*Oh no", "ask again", calls=2),
    "overloaded": Failure(
        ApiError(503, "Too busy", headers=SOON), "failed on its side.*Too busy", "ask again", calls=2
    ),
    "setting": Failure(
        ApiError(400, "Unsupported value: 'temperature' does not support 0"),
        "not take the request.*'temperature'",
        "`answer.temperature: null`",
    ),
    "prompt too long": Failure(
        ApiError(400, "This model's maximum context length is 99 tokens", code="context_length_exceeded"),
        "has too short a context for the prompt",
        "retrieval.evidence_tokens",
    ),
    "prompt too long for another server": Failure(
        ApiError(400, "the request exceeds the available context size"),
        "has too short a context for the prompt",
        "history_turns",
    ),
    "silent": Failure(Silence(), "did not answer in time", "remote.timeout_seconds", calls=2),
    "silent after the first words": Failure(
        Silence(after_first_piece=True), "did not answer in time", "remote.timeout_seconds", calls=1
    ),
    "connection lost": Failure(
        Reply(break_after=PIECES),
        "cannot be reached, or the connection was lost",
        "check that the server runs",
        shown=True,
    ),
    "ends without an end": Failure(Reply(finish=None), "is incomplete", "ask again", shown=True),
    "error after the first words": Failure(
        Reply(tail=b'data: {"error": {"message": "The engine died"}}\n\n'), "The engine died", "check", shown=True
    ),
    "not JSON": Failure(Reply(tail=b"data: {not json\n\n"), "other than the API's protocol", "/v1", shown=True),
    "a web page": Failure(RawBody(b"<html>Welcome</html>", "text/html"), "other than the API's protocol", "/v1"),
    "nothing": Failure(RawBody(b""), "other than the API's protocol", "/v1"),
    "withheld": Failure(Reply(finish="content_filter"), "withheld", "rephrase the question", shown=True),
    "only reasoning": Failure(Reply(text="", finish="length"), "used up answer.max_tokens", "set it to null"),
}


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
    """The domain without conversations, on a server without recorded requests."""
    shop.chain.memory.delete_thread("1")
    for recorded in (server.requests, server.headers, server.times):
        recorded.clear()
    server.responses = [Reply()]
    return shop


async def ask(domain: Domain, mode: str) -> str:
    """Ask one question; return the words that reach the caller. `words` holds them too, for calls that fail."""
    words.clear()
    given = {"question": QUESTION}
    if mode == "sync":
        for part in domain.chain.stream(given, THREAD):
            words.append(part.get("answer", ""))
    else:
        async for part in domain.chain.astream(given, THREAD):
            words.append(part.get("answer", ""))
    return "".join(words)


words: list[str] = []


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
async def test_a_failure_raises_one_error_and_the_turn_is_not_remembered(
    domain: Domain, server: Server, failure: Failure, mode: str
) -> None:
    server.responses = [failure.response]
    with pytest.raises(RemoteModelError) as caught:
        await ask(domain, mode)
    error = caught.value
    assert isinstance(error, RemoteModelError)
    assert outcome_of(error).exit_code == 6
    assert re.search(failure.found, error.found), error.found
    assert failure.next_step in error.next_step
    assert error.expected
    assert len(server.requests) == failure.calls
    assert bool("".join(words)) is failure.shown
    assert domain.chain.history("1") == []
    # The next turn succeeds, and the model reads nothing of the failed one.
    server.responses = [Reply()]
    assert await ask(domain, mode) == REPLY
    assert [message["role"] for message in server.requests[-1]["messages"]] == ["system", "user"]
    assert [turn["answer"] for turn in domain.chain.history("1")] == [REPLY]


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("status", [429, 500])
async def test_a_temporary_failure_is_retried_when_the_server_says(
    domain: Domain, server: Server, status: int, mode: str
) -> None:
    server.responses = [ApiError(status, "Not now", headers=(("Retry-After", "0.3"),)), Reply()]
    assert await ask(domain, mode) == REPLY
    first, second = server.times
    assert 0.3 <= second - first < 3
    assert server.requests[0] == server.requests[1]


async def test_no_server_at_all(tmp_path: Path, encoder: Encoder, shop: Domain) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nowhere = Server(url=f"http://127.0.0.1:{free.getsockname()[1]}/v1")
    domain = open_shop(tmp_path / "shop", nowhere, encoder, "remote:\n  max_retries: 0\n")
    try:
        for mode in ("sync", "async"):
            with pytest.raises(RemoteModelError, match="cannot be reached") as caught:
                await ask(domain, mode)
            assert "`base_url`" in caught.value.next_step
    finally:
        domain.close()


def test_a_failure_in_an_evaluation_stops_it(domain: Domain, server: Server) -> None:
    server.responses = [Reply(), ApiError(401, "Incorrect API key provided")]
    with pytest.raises(RemoteModelError, match="refuses the key"):
        domain.evaluate()
    assert len(server.requests) == 2


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_the_command_reports_the_error_with_its_exit_code(
    domain: Domain,
    server: Server,
    options: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server.responses = [ApiError(401, "Incorrect API key provided")]
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setattr(sys, "argv", ["softgraft", "ask", str(domain.folder), QUESTION, *options])
    with pytest.raises(SystemExit) as stopped:
        main()
    printed = capsys.readouterr()
    text = printed.out if options else printed.err
    assert stopped.value.code == 6
    assert "Incorrect API key provided" in text
    assert "OPENAI_API_KEY" in text
    assert "Traceback" not in printed.err
