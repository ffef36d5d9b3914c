"""A small ASGI server over asyncio and h11: enough of HTTP/1.1 to serve one request per connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import h11

App = Callable[..., Awaitable[None]]


@asynccontextmanager
async def served(app: App, socket: Path) -> AsyncIterator[list[asyncio.Task[Any]]]:
    """Serve an application on a Unix socket; yields the tasks of its requests, in their order."""
    requests: list[asyncio.Task[Any]] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        requests.append(task)
        try:
            await _Request(reader, writer).run(app)
        finally:
            writer.close()

    server = await asyncio.start_unix_server(connected, path=socket)
    try:
        yield requests
    finally:
        server.close()
        for task in requests:
            task.cancel()
        await asyncio.gather(*requests, return_exceptions=True)


class _Request:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._connection = h11.Connection(h11.SERVER)

    async def run(self, app: App) -> None:
        request = await self._event()
        assert isinstance(request, h11.Request)
        scope = {"type": "http", "method": request.method.decode(), "path": request.target.decode(), "headers": []}
        await app(scope, self._receive, self._send)

    async def _receive(self) -> dict[str, Any]:
        event = await self._event()
        if isinstance(event, h11.Data):
            return {"type": "http.request", "body": bytes(event.data), "more_body": True}
        if isinstance(event, h11.EndOfMessage):
            return {"type": "http.request", "body": b"", "more_body": False}
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            headers = [*message["headers"], (b"connection", b"close")]
            await self._write(h11.Response(status_code=message["status"], headers=headers))
            return
        if message["body"]:
            await self._write(h11.Data(data=message["body"]))
        if not message.get("more_body"):
            await self._write(h11.EndOfMessage())

    async def _write(self, event: Any) -> None:
        self._writer.write(self._connection.send(event) or b"")
        await self._writer.drain()

    async def _event(self) -> Any:
        """The next event; None when the client has gone."""
        while True:
            if self._connection.their_state is h11.DONE:
                # Nothing more is expected, so data or an end means that the client has gone.
                await self._reader.read(1)
                return None
            event = self._connection.next_event()
            if event is not h11.NEED_DATA:
                return event
            received = await self._reader.read(65536)
            if not received:
                return None
            self._connection.receive_data(received)
