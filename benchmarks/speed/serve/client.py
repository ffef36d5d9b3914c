"""A client for servers with OpenAI's protocol that takes little of the machine which it shares with them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

_SECONDS = 600


@dataclass
class Reply:
    """What a caller saw of a request.

    Attributes:
        started: when it was sent, in seconds of `time.perf_counter`.
        first, whole: seconds to the first words and to the end; None if there were none.
        tokens: of the answer, as the server counts them.
        last: the last chunk that has a choice.
    """

    status: int = 0
    started: float = 0.0
    first: float | None = None
    whole: float = 0.0
    tokens: int = 0
    prompt_tokens: int = 0
    text: str = ""
    last: dict[str, Any] = field(default_factory=dict)
    complete: bool = False

    @property
    def refused(self) -> bool:
        """Whether the server had no place for it."""
        return self.status in (429, 503)


async def stream(address: str, body: Mapping[str, Any]) -> Reply:
    """POST a chat request and read its stream of events to the end."""
    data = json.dumps({**body, "stream": True, "stream_options": {"include_usage": True}}).encode()
    url = urlsplit(address)
    reply = Reply(started=time.perf_counter())
    reader, writer = await asyncio.open_connection(url.hostname, url.port, limit=2**20)
    try:
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(data)}\r\nConnection: close\r\n\r\n"
        )
        writer.write(head.encode() + data)
        reply.status = int((await reader.readline()).split()[1])
        async with asyncio.timeout(_SECONDS):
            # The lengths of the chunks and empty lines lie between the events.
            async for line in reader:
                if line.startswith(b"data: [DONE]"):
                    reply.complete = True
                    break
                if line.startswith(b"data: "):
                    _add(reply, json.loads(line[6:]))
    finally:
        reply.whole = time.perf_counter() - reply.started
        writer.close()
    return reply


def _add(reply: Reply, chunk: dict[str, Any]) -> None:
    if usage := chunk.get("usage"):
        reply.tokens, reply.prompt_tokens = usage["completion_tokens"], usage["prompt_tokens"]
    for choice in chunk.get("choices", ()):
        reply.last = chunk
        if text := choice["delta"].get("content"):
            if reply.first is None:
                reply.first = time.perf_counter() - reply.started
            reply.text += text


def closed_loop(address: str, bodies: Iterator[Mapping[str, Any]], callers: int) -> list[Reply]:
    """Send all requests; each caller sends its next one when it has its answer."""

    async def call() -> list[Reply]:
        return [await stream(address, body) for body in bodies]

    async def run() -> list[list[Reply]]:
        return await asyncio.gather(*(call() for _ in range(callers)))

    return [reply for replies in asyncio.run(run()) for reply in replies]


def open_loop(
    address: str, body_of: Callable[[int], Mapping[str, Any]], per_second: float, seconds: float
) -> list[Reply]:
    """Send requests at a fixed rate, whatever becomes of them, and wait for all answers."""

    async def run() -> list[Reply]:
        start, sent = time.perf_counter(), []
        for number in range(round(per_second * seconds)):
            await asyncio.sleep(max(0.0, start + number / per_second - time.perf_counter()))
            sent.append(asyncio.create_task(stream(address, body_of(number))))
        return await asyncio.gather(*sent)

    return asyncio.run(run())
