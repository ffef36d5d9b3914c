"""Limits of a server, callers that leave, and its end, with a model that waits until it is told to go on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from house_domain import opened, write_domain
from live_server import QUESTION, LiveServer, ask, running, wait_until
from openai import APIStatusError, InternalServerError, RateLimitError

from tests.integration.api_server import REPLY, Reply, Server, Silence, serve

pytestmark = [pytest.mark.enable_socket, pytest.mark.allow_hosts(["127.0.0.1"])]


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with serve() as server:
        yield server


@pytest.fixture
def start(tmp_path: Path, model: Server) -> Iterator[Callable[..., LiveServer]]:
    """Starts a server for the domain `shop`, whose model is behind an API."""
    folder = write_domain(
        tmp_path / "shop",
        "openai:small-model",
        base_url=model.url,
        answer={"form": "generate", "max_tokens": 40, "temperature": 0.0},
        remote={"max_retries": 0},
    )
    domain = opened(folder)
    domain.ingest()
    domain.close()
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(running({"shop": folder}, **settings))


def begun(server: LiveServer, count: int) -> list[Any]:
    """Streams that have their first piece; the model's gate holds the rest back."""
    streams = [ask(server.client(), "shop", stream=True) for _ in range(count)]
    for stream in streams:
        next(stream)
    return streams


def test_a_full_queue_refuses_at_once(start: Callable[..., LiveServer], model: Server) -> None:
    gate = threading.Event()
    model.responses = [Reply(gate=gate)]
    server = start(running=1, queue=1, retry_after_seconds=7)
    [first] = begun(server, 1)
    waiting = threading.Thread(target=lambda: answers.append(ask(server.client(), "shop")))
    answers: list[Any] = []
    waiting.start()
    wait_until(lambda: server.limits._admitted == 2)
    with server.http() as http:
        body = {"model": "shop", "messages": [{"role": "user", "content": QUESTION}]}
        # The first request on a connection pays for it.
        http.get("/healthz")
        seconds = []
        for _ in range(10):
            started = time.perf_counter()
            response = http.post("/v1/chat/completions", json=body)
            seconds.append(time.perf_counter() - started)
            assert response.status_code == 429
        assert response.headers["Retry-After"] == "7"
        assert response.json()["error"]["code"] == "rate_limit_exceeded"
        # Not after the 20 seconds that the gate stays closed.
        assert sorted(seconds)[5] < 2
        assert 'softgraft_refused_requests_total{reason="queue"} 10.0' in http.get("/metrics").text
    with pytest.raises(RateLimitError):
        server.client().embeddings.create(model="shop", input="card")
    gate.set()
    waiting.join(20)
    # Nobody who was admitted lost an answer.
    assert "".join(chunk.choices[0].delta.content or "" for chunk in first if chunk.choices) == REPLY
    assert answers[0].choices[0].message.content == REPLY
    wait_until(lambda: server.limits._admitted == server.limits.running == server.limits.streams == 0)


def test_open_streams_are_limited(start: Callable[..., LiveServer], model: Server) -> None:
    gate = threading.Event()
    model.responses = [Reply(gate=gate)]
    server = start(running=4, streams=2)
    streams = begun(server, 2)
    with pytest.raises(RateLimitError):
        ask(server.client(), "shop", stream=True)
    streams[0].close()
    wait_until(lambda: server.limits.streams == 1)
    gate.set()
    assert list(ask(server.client(), "shop", stream=True))
    streams[1].close()


@pytest.mark.parametrize("stream", [True, False])
def test_a_caller_that_leaves_frees_its_place(start: Callable[..., LiveServer], model: Server, stream: bool) -> None:
    gate = threading.Event()
    model.responses = [Reply(gate=gate)]
    server = start(running=1)
    body = {"model": "shop", "stream": stream, "messages": [{"role": "user", "content": QUESTION}]}
    body["metadata"] = {"thread_id": "left"}
    if stream:
        with server.http() as http, http.stream("POST", "/v1/chat/completions", json=body) as response:
            next(response.iter_lines())
            assert server.limits.running == 1
    else:
        with server.http() as http, pytest.raises(httpx.ReadTimeout):
            http.post("/v1/chat/completions", json=body, timeout=1.0)
    left = time.perf_counter()
    wait_until(lambda: server.limits.running == 0)
    assert time.perf_counter() - left < 8
    # Also before the model has begun: nothing is stored of a turn that did not end.
    with server.served.open("shop") as domain:
        assert domain.conversations.history("left") == []
    gate.set()
    assert ask(server.client(), "shop").choices[0].message.content == REPLY
    with server.http() as http:
        assert "softgraft_disconnects_total 1.0" in http.get("/metrics").text


def test_an_answer_that_does_not_begin_is_given_up(start: Callable[..., LiveServer], model: Server) -> None:
    model.responses = [Silence()]
    server = start(first_token_seconds=0.5)
    for stream in (True, False):
        with pytest.raises(InternalServerError) as raised:
            ask(server.client(), "shop", stream=stream)
        assert (raised.value.status_code, raised.value.response.headers["Retry-After"]) == (503, "1")
    wait_until(lambda: server.limits.running == 0)


def test_a_model_that_fails_is_an_error_with_its_reason(start: Callable[..., LiveServer], model: Server) -> None:
    model.responses = [Reply(break_after=0), Reply(break_after=2)]
    server = start()
    with pytest.raises(APIStatusError) as raised:
        ask(server.client(), "shop")
    assert raised.value.status_code == 502
    assert "sk-test" not in raised.value.message


def test_an_answer_that_fails_is_no_caller_that_left(start: Callable[..., LiveServer], model: Server) -> None:
    model.responses = [Reply(break_after=2)]
    server = start()
    body = {"model": "shop", "stream": True, "messages": [{"role": "user", "content": QUESTION}]}
    with server.http() as http:
        assert '"error"' in http.post("/v1/chat/completions", json=body).text
        wait_until(lambda: server.limits.streams == 0)
        assert "softgraft_disconnects_total 0.0" in http.get("/metrics").text


def test_a_large_body_is_refused(start: Callable[..., LiveServer]) -> None:
    server = start(body_bytes=2000)
    body = b'{"model": "shop", "messages": [{"role": "user", "content": "%s"}]}' % (b"x" * 3000)
    with server.http() as http:
        headers = {"Content-Type": "application/json"}
        for content in (body, iter([body[:1000], body[1000:]])):
            response = http.post("/v1/chat/completions", content=content, headers=headers)
            assert response.status_code == 413
            assert response.json()["error"]["code"] == "request_too_large"


def test_a_stopping_server_ends_its_answers_and_takes_no_more(start: Callable[..., LiveServer], model: Server) -> None:
    gate = threading.Event()
    model.responses = [Reply(gate=gate)]
    server = start()
    [stream] = begun(server, 1)
    server.limits.draining = True
    with server.http() as http:
        assert http.get("/readyz").json()["status"] == "stopping"
        assert http.get("/healthz").status_code == 200
    with pytest.raises(InternalServerError) as raised:
        ask(server.client(), "shop")
    assert raised.value.status_code == 503
    threading.Timer(0.3, gate.set).start()
    server.stop()
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices) == REPLY
