"""The endpoint of docs/http.md, on a server that speaks HTTP: it streams, cancels, and refuses bad requests."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

import softgraft
from softgraft import Domain
from tests.support.asgi_server import served
from tests.support.hashing_encoder import HashingEncoder

pytestmark = pytest.mark.heavy

PAGE = Path(softgraft.__file__).parents[1] / "docs" / "http.md"
QUESTION = "What does a replacement card cost?"
# Long enough that a client can leave while the tiny model is still writing.
MANY_TOKENS = 200


@pytest.fixture
def recipe(
    make_domain: Callable[..., Domain], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, Any]]:
    """Runs the page's code over a domain of that name; returns its names."""

    def load(**settings: Any) -> dict[str, Any]:
        monkeypatch.setattr("softgraft.assembly.parts.load_encoder", lambda name: HashingEncoder(dimension=256))
        make_domain("domains/bank", ingest=True, **settings)
        monkeypatch.chdir(tmp_path)
        [code] = re.findall(r"Save this as `serve.py`:\n\n```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
        names: dict[str, Any] = {"__name__": "serve"}
        exec(compile(code, str(PAGE), "exec"), names)
        return names

    return load


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.AsyncHTTPTransport(uds=str(tmp_path / "socket"))
    async with httpx.AsyncClient(transport=transport, base_url="http://here", timeout=60) as client:
        yield client


def events_of(text: str) -> list[tuple[str, Any]]:
    matches = re.findall(r"event: (\w+)\ndata: (.*)\n\n", text)
    return [(name, json.loads(data)) for name, data in matches]


async def test_an_answer_arrives_in_parts_that_add_up(
    recipe: Callable[..., dict[str, Any]], client: httpx.AsyncClient, tmp_path: Path
) -> None:
    names = recipe()
    async with served(names["app"], tmp_path / "socket"):
        response = await client.post("/", json={"question": QUESTION, "thread": "42"})
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/event-stream"
    events = events_of(response.text)
    assert [name for name, _ in events] == ["part"] * (len(events) - 1) + ["end"]
    parts = [data for name, data in events if name == "part"]
    assert parts[0]["question"] == QUESTION
    pieces = [part["answer"] for part in parts if "answer" in part]
    assert len(pieces) > 1
    [turn] = names["chain"].history("42")
    assert turn["answer"] == "".join(pieces)
    assert "citations" in parts[-1]


async def test_a_client_that_leaves_stops_the_generation(
    recipe: Callable[..., dict[str, Any]], client: httpx.AsyncClient, tmp_path: Path
) -> None:
    names = recipe(answer={"max_tokens": MANY_TOKENS})
    async with served(names["app"], tmp_path / "socket") as requests:
        async with client.stream("POST", "/", json={"question": QUESTION, "thread": "42"}) as response:
            async for line in response.aiter_lines():
                if '"answer"' in line:
                    break
        await asyncio.wait_for(asyncio.gather(*requests), timeout=20)
        assert names["chain"].history("42") == []
        # The conversation is free for the next question.
        again = await client.post("/", json={"question": QUESTION, "thread": "42"})
    assert events_of(again.text)[-1] == ("end", {})
    assert len(names["chain"].history("42")) == 1


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"question": ""}', b'{"question": 3}', b"x" * 70_000])
async def test_a_bad_request_is_refused(
    recipe: Callable[..., dict[str, Any]], client: httpx.AsyncClient, tmp_path: Path, body: bytes
) -> None:
    names = recipe()
    async with served(names["app"], tmp_path / "socket"):
        response = await client.post("/", content=body)
    assert response.status_code == 400
    assert response.json() == {"expected": {"question": "...", "thread": "42"}}


async def test_an_error_is_an_event(
    recipe: Callable[..., dict[str, Any]], client: httpx.AsyncClient, tmp_path: Path
) -> None:
    names = recipe()
    names["chain"].close()
    async with served(names["app"], tmp_path / "socket"):
        response = await client.post("/", json={"question": QUESTION})
    [(name, data)] = events_of(response.text)
    assert (name, data["status"]) == ("error", 500)
    assert "closed" in data["found"]
