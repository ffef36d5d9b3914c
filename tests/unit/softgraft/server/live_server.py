"""A server on a loopback port in a thread of this process, over domains whose encoder needs no weights."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from house_domain import opened, write_domain
from openai import OpenAI

from softgraft.server import served as served_module
from softgraft.server.app import make_app
from softgraft.server.limits import Limits
from softgraft.server.running import address_of, bind, server_config
from softgraft.server.served import ServedDomains
from softgraft.server.settings import ServerSettings

QUESTION = "How much does a replacement card cost?"
QUOTE = "A replacement card costs 12 euros and arrives within 5 days."
# Two domains on one backbone: one quotes its documents, the other writes what a random model writes.
QUOTING: dict[str, Any] = {"form": "quote", "max_tokens": 6}
WRITING: dict[str, Any] = {"form": "generate", "unsupported": "mark", "max_tokens": 12}


class LiveServer:
    """A running server; `address` is its root."""

    def __init__(self, served: ServedDomains, settings: ServerSettings) -> None:
        self.served = served
        self.app = make_app(served, settings)
        listening = bind(settings)
        self.address = address_of(listening, settings)
        self._server = uvicorn.Server(server_config(self.app, settings))
        self._thread = threading.Thread(target=self._server.run, args=([listening],), daemon=True)
        self._thread.start()
        deadline = time.monotonic() + 30
        while not self._server.started:
            assert self._thread.is_alive()
            assert time.monotonic() < deadline
            time.sleep(0.01)

    @property
    def limits(self) -> Limits:
        limits: Limits = self.app.state.limits
        return limits

    def http(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.address, timeout=60, trust_env=False, **options)

    def client(self, key: str = "none") -> OpenAI:
        return OpenAI(base_url=f"{self.address}/v1", api_key=key, max_retries=0, http_client=self.http())

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(30)
        assert not self._thread.is_alive()


@contextmanager
def running(folders: Mapping[str, Path], **settings: Any) -> Iterator[LiveServer]:
    """Serve the domains in the folders; `settings` are those of the server."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(served_module, "open_domain", opened)
        given: dict[str, Any] = {"port": 0, "preload": False, "drain_seconds": 5, **settings}
        server = LiveServer(ServedDomains(folders, check_seconds=0.0), ServerSettings(**given))
        try:
            yield server
        finally:
            server.stop()


def two_domains(folder: Path, backbone: Path) -> dict[str, Path]:
    """The domains `quotes` and `words`, ingested."""
    folders = {}
    for name, answer in (("quotes", QUOTING), ("words", WRITING)):
        folders[name] = write_domain(
            folder / name,
            str(backbone),
            answer=answer,
            retrieval={"passages": 1, "evidence_tokens": 100, "passage_tokens": 48},
        )
        domain = opened(folders[name])
        domain.ingest()
        domain.close()
    return folders


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for what a server does after it has sent a response: its log line, its counters, a place it frees."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def ask(client: OpenAI, model: str = "quotes", question: str = QUESTION, **options: Any) -> Any:
    """One chat completion."""
    return client.chat.completions.create(model=model, messages=[{"role": "user", "content": question}], **options)
