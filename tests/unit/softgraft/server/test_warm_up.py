"""A server that says it is ready has answered with each local backbone."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from house_domain import opened, write_domain
from live_server import LiveServer, running, two_domains, wait_until

from soft_prompt.engine.engine import engine_of
from soft_prompt.errors import QueueFullError
from softgraft.domain import Domain
from softgraft.server import served as served_module
from softgraft.server.app import make_app
from softgraft.server.errors import as_request_error
from softgraft.server.served import ServedDomains
from softgraft.server.settings import ServerSettings
from tests.integration.api_server import serve
from tests.support.hashing_encoder import HashingEncoder

pytestmark = [pytest.mark.enable_socket, pytest.mark.allow_hosts(["127.0.0.1"])]


def wait_until_ready(server: LiveServer) -> None:
    with server.http() as http:
        wait_until(lambda: http.get("/readyz").status_code == 200, seconds=60)


def test_the_backbone_has_run_when_the_server_is_ready(tmp_path: Path, backbone_folders: tuple[Path, Path]) -> None:
    folders = two_domains(tmp_path, backbone_folders[0])
    with running(folders, preload=True) as server:
        wait_until_ready(server)
        with server.served.open("words") as domain:
            assert "chain" in domain.__dict__
            engine = engine_of(domain.store.backbone)
            assert engine.steps > 0
            assert engine.running == engine.waiting == 0
            assert not domain.conversations.threads()
        with server.served.open("quotes") as domain:
            # A quote needs no backbone.
            assert "chain" in domain.__dict__
            assert "store" not in domain.__dict__


def test_a_model_behind_an_api_is_not_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    with serve() as api:
        folder = write_domain(
            tmp_path / "shop", "openai:small-model", base_url=api.url,
            answer={"form": "generate", "max_tokens": 40, "temperature": 0.0},
        )  # fmt: skip
        domain = opened(folder)
        domain.ingest()
        domain.close()
        with running({"shop": folder}, preload=True) as server:
            wait_until_ready(server)
            assert not api.requests


class BrokenEncoder(HashingEncoder):
    """Fails as a library does that has a bug."""

    def encode_queries(self, texts: Sequence[str]) -> np.ndarray:
        raise ZeroDivisionError


def test_a_domain_that_fails_unexpectedly_does_not_hold_up_the_others(
    tmp_path: Path, backbone_folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = two_domains(tmp_path, backbone_folders[0])

    def one_broken(folder: Path) -> Domain:
        domain = opened(folder)
        if folder == folders["quotes"]:
            domain.encoder = BrokenEncoder(dimension=256)
        return domain

    monkeypatch.setattr(served_module, "open_domain", one_broken)
    server = LiveServer(ServedDomains(folders), ServerSettings(port=0))
    try:
        wait_until_ready(server)
        with server.served.open("words") as domain:
            assert engine_of(domain.store.backbone).steps > 0
    finally:
        server.stop()


async def test_no_more_threads_than_answers_can_use() -> None:
    app = make_app(ServedDomains({}), ServerSettings(running=500))
    names = set()

    def work() -> None:
        names.add(threading.current_thread().name)
        time.sleep(0.005)

    async with app.router.lifespan_context(app):
        await asyncio.gather(*(asyncio.to_thread(work) for _ in range(1000)))
    assert 1 < len(names) <= 32


def test_a_full_engine_is_an_error_to_try_again_later() -> None:
    error = as_request_error(QueueFullError(found="9 requests", expected="at most 8", next_step="try again later"))
    assert error.status == 503
    assert int(error.response().headers["Retry-After"]) > 0
