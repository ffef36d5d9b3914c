"""A domain on a remote model: a local server for the protocol, and the real client."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from api_server import QUESTION, REPLY, USAGE, Reply, Server, open_shop, serve
from langchain.agents import create_agent
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.tools import tool

from chains import RemoteModelError, remote_chat
from prompts import find_template, load_template
from retrieval import Encoder
from softgraft import Domain
from softgraft.errors import UsageError

pytestmark = [pytest.mark.enable_socket, pytest.mark.allow_hosts(["127.0.0.1"])]

TEMPLATE = load_template(find_template("rag-chat"))
TWIN = TEMPLATE.text_twin("domain")
PROMPT = TEMPLATE.render({"context": [], "history": [], "question": QUESTION})


@pytest.fixture
def server() -> Iterator[Server]:
    with serve() as server:
        yield server


MakeDomain = Callable[[str], Domain]


@pytest.fixture
def make_domain(
    tmp_path: Path, server: Server, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MakeDomain]:
    """Opens domains on the server, with further lines in domain.yaml."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    opened: list[Domain] = []

    def make(settings: str) -> Domain:
        opened.append(open_shop(tmp_path / f"shop-{len(opened)}", server, encoder, settings))
        return opened[-1]

    yield make
    for domain in opened:
        domain.close()


@pytest.fixture
def domain(make_domain: MakeDomain) -> Domain:
    return make_domain("")


def test_the_text_twin_replaces_the_soft_slot(domain: Domain, server: Server) -> None:
    result = domain.chain.invoke({"question": QUESTION})
    [request] = server.requests
    assert (request["path"], request["model"], request["temperature"]) == ("/v1/chat/completions", "small-model", 0.0)
    assert request.get("max_tokens", request.get("max_completion_tokens")) == 40
    assert server.headers[0]["authorization"] == "Bearer sk-test"
    assert request["stream"] is True
    system, question = request["messages"]
    assert (system["role"], question) == ("system", {"role": "user", "content": QUESTION})
    # After the passages, in place of the slot, and as one plain string.
    assert isinstance(system["content"], str)
    assert system["content"].endswith(TWIN)
    assert system["content"].count(TWIN) == 1
    assert all(entry["text"] in system["content"] for entry in result["evidence"])
    assert "{domain}<|im_end|>" in system["content"]
    assert "non_standard" not in json.dumps(server.requests)
    assert "soft_prompt" not in json.dumps(server.requests)


def test_the_answer_comes_back_with_citations(domain: Domain, server: Server) -> None:
    result = domain.chain.invoke({"question": QUESTION})
    assert (result["answer"], result["refused"], result["notices"]) == (REPLY, False, [])
    [citation] = result["citations"]
    assert citation["quote"] == "A replacement card costs 12 euros and arrives within 5 days."
    text = domain.index.document("cards").text
    assert text[citation["start"] : citation["end"]] == citation["quote"]
    parts = [part["answer"] for part in domain.chain.stream({"question": QUESTION}) if "answer" in part]
    assert len(parts) > 3
    assert "".join(parts) == REPLY


async def test_async_calls_with_memory(domain: Domain, server: Server) -> None:
    def reply(request: dict[str, Any]) -> str:
        # A remote model rewrites follow-up questions.
        return "How much does paying abroad cost?" if "Rewrite" in request["messages"][-1]["content"] else REPLY

    server.reply = reply
    config: Any = {"configurable": {"thread_id": "42"}}
    first = await domain.chain.ainvoke({"question": QUESTION}, config)
    second = await domain.chain.ainvoke({"question": "And abroad?"}, config)
    assert first["answer"] == REPLY
    assert second["query"] == "How much does paying abroad cost?"
    answered = server.requests[-1]["messages"]
    assert [message["content"] for message in answered[1:]] == [QUESTION, REPLY, "And abroad?"]


def test_a_missing_key(domain: Domain, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(RemoteModelError, match="OPENAI_API_KEY is not set") as caught:
        _ = domain.chain
    assert caught.value.next_step.startswith("export OPENAI_API_KEY=")
    assert server.requests == []


def test_evaluation_skips_systems_that_need_vectors(domain: Domain, server: Server) -> None:
    report = domain.evaluate()
    assert [row.system for row in report.rows] == ["base", "template", "text-twin", "quote", "auto"]
    assert [row.accuracy.mean for row in report.rows if row.accuracy is not None] == [1] * 5
    systems = [request["messages"][0]["content"] for request in server.requests]
    assert [TWIN in text for text in systems] == [False, False, True]
    assert domain.status()["notices"] == []


def test_training_needs_a_local_backbone(domain: Domain) -> None:
    with pytest.raises(UsageError, match="takes no vectors") as caught:
        domain.train()
    assert "backbone: embedded" in caught.value.next_step


def test_null_settings_are_not_sent(make_domain: MakeDomain, server: Server) -> None:
    options = "  options: {reasoning_effort: low, extra_body: {top_k: 3}}\n"
    domain = make_domain(f"answer:\n  max_tokens: null\n  temperature: null\nremote:\n{options}")
    domain.chain.invoke({"question": QUESTION})
    [request] = server.requests
    assert not {"temperature", "max_tokens", "max_completion_tokens", "stop"} & set(request)
    assert (request["reasoning_effort"], request["top_k"]) == ("low", 3)


def test_token_usage_comes_from_the_server(make_domain: MakeDomain, server: Server) -> None:
    domain = make_domain("remote:\n  options: {stream_usage: true}\n")
    usage = UsageMetadataCallbackHandler()
    result = domain.chain.invoke({"question": QUESTION}, {"callbacks": [usage]})
    assert server.requests[0]["stream_options"] == {"include_usage": True}
    assert result["answer"] == REPLY
    [counted] = usage.usage_metadata.values()
    assert (counted["input_tokens"], counted["output_tokens"]) == (70, 9)
    assert counted["input_token_details"]["cache_read"] == USAGE["prompt_tokens_details"]["cached_tokens"]  # type: ignore[index]


def test_the_first_words_arrive_before_the_server_has_finished(domain: Domain, server: Server) -> None:
    gate = threading.Event()
    server.responses = [Reply(gate=gate)]
    answer = ""
    for part in domain.chain.stream({"question": QUESTION}):
        answer += part.get("answer", "")
        if answer:
            # The server holds back all other words until now.
            assert gate.is_set() or answer == REPLY[:7].rstrip()
            gate.set()
    assert answer == REPLY


class RecordingExecutor(ThreadPoolExecutor):
    """The thread pool of the event loop, which records what ran in it."""

    def __init__(self) -> None:
        super().__init__(4)
        self.ran: list[str] = []

    def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        self.ran.append(f"{function} {args}")
        return super().submit(function, *args, **kwargs)


async def test_async_calls_use_no_threads(domain: Domain, server: Server) -> None:
    speaker = domain.answering("text-twin").speaker
    gate = threading.Event()
    server.responses = [Reply(gate=gate)]
    threads = RecordingExecutor()
    asyncio.get_running_loop().set_default_executor(threads)
    started = 0

    async def ask() -> str:
        nonlocal started
        text = ""
        async for piece in speaker.astream(speaker.prepare(PROMPT)):
            started += 1 if piece and not text else 0
            text += piece
            # No request ends before all have started.
            if started == 20:
                gate.set()
        return text

    assert await asyncio.gather(*(ask() for _ in range(20))) == [REPLY] * 20
    # The client looks up its platform in a thread, once per call.
    assert [ran for ran in threads.ran if "get_platform" not in ran] == []


def test_one_event_loop_after_another(domain: Domain) -> None:
    for _ in range(3):
        assert asyncio.run(domain.chain.ainvoke({"question": QUESTION}))["answer"] == REPLY


@pytest.mark.parametrize("exit_by", ["cancelled", "closed"])
async def test_a_caller_who_leaves_ends_the_request(domain: Domain, server: Server, exit_by: str) -> None:
    # Long enough that the server is still writing when a slow client leaves; written data waits in buffers.
    server.responses = [Reply(text="word " * 20_000, pause=0.002)]
    speaker = domain.answering("text-twin").speaker
    pieces: Any = speaker.astream(speaker.prepare(PROMPT))
    started = asyncio.Event()

    async def ask() -> None:
        async for piece in pieces:
            if piece:
                started.set()
                if exit_by == "closed":
                    return

    asking = asyncio.create_task(ask())
    await asyncio.wait_for(started.wait(), 30)
    if exit_by == "cancelled":
        asking.cancel()
    await asyncio.wait([asking])
    await pieces.aclose()
    assert await asyncio.to_thread(server.disconnected.wait, 5)


def test_tools_are_called_and_their_results_sent_back(domain: Domain, server: Server) -> None:
    @tool
    def search(query: str) -> str:
        """Search the shop's documents."""
        return domain.index.search(query, 1)[0].passage.text

    server.responses = [Reply(calls=(("search", {"query": QUESTION}),), finish="tool_calls"), Reply()]
    chat = remote_chat(domain.file.backbone, base_url=server.url)
    agent: Any = create_agent(chat, [search])
    for mode in ("invoke", "stream"):
        server.requests.clear()
        server.responses = [Reply(calls=(("search", {"query": QUESTION}),), finish="tool_calls"), Reply()]
        given = {"messages": [{"role": "user", "content": QUESTION}]}
        if mode == "invoke":
            last = agent.invoke(given)["messages"][-1].content
        else:
            pieces = [chunk for chunk, _ in agent.stream(given, stream_mode="messages")]
            last = "".join(piece.content for piece in pieces if piece.type == "AIMessageChunk")
        assert last == REPLY
        first, second = server.requests
        assert [made["function"]["name"] for made in first["tools"]] == ["search"]
        asked, called, result = second["messages"]
        assert (asked["role"], called["role"], result["role"]) == ("user", "assistant", "tool")
        [call] = called["tool_calls"]
        assert json.loads(call["function"]["arguments"]) == {"query": QUESTION}
        assert result["tool_call_id"] == call["id"] == "call-0"
        assert "costs 12 euros" in result["content"]


def test_another_provider(make_domain: MakeDomain, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "azure-key")
    endpoint = server.url.removesuffix("/v1")
    domain = make_domain(
        "backbone: azure_openai:mine\nremote:\n"
        f"  options: {{azure_endpoint: '{endpoint}', api_version: '2024-10-21'}}\n"
    )
    assert domain.remote
    assert domain.chain.invoke({"question": QUESTION})["answer"] == REPLY
    [request], [headers] = server.requests, server.headers
    assert request["path"] == "/openai/deployments/mine/chat/completions?api-version=2024-10-21"
    assert headers["api-key"] == "azure-key"
    assert request["messages"][0]["content"].endswith(TWIN)
    assert request["temperature"] == 0
