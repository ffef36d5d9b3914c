"""The page over real domains, served on a port of this machine, and a real browser to read it."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
import yaml
from api_server import Server

from softgraft import Domain, open_domain
from softgraft.server import served as served_module
from softgraft.server.app import make_app
from softgraft.server.served import ServedDomains
from softgraft.server.settings import ServerSettings
from tests.support.hashing_encoder import HashingEncoder
from tests.support.small_bank import write_documents

CHROMIUM = shutil.which("chromium")
ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
BOX = "A safe deposit box costs 48 euros a year."
BOX_QUESTION = "What does a safe deposit box cost?"
DISPUTE_QUESTION = "How long do I have to dispute a card payment?"
SCRIPT = "<script>document.title='broken'</script>"
ARABIC = "تكلفة البطاقة البديلة هي 12 يورو."
CHINESE = "补办一张新卡的费用是十二欧元。"
_MORE = {
    "rates.md": f"# Rates\n\nPrices for the year ahead. {BOX} It has to be cancelled in writing.\n",
    # Characters beyond the basic plane: JavaScript counts two for each, Python one.
    "signs.md": "# Signs\n\nThe signs \N{BANK}\N{BANK}\N{CREDIT CARD} mark a counter. A rune stone weighs 7 pounds.\n",
    "arabic.md": f"# رسوم البطاقة\n\n{ARABIC} تصل البطاقة خلال خمسة أيام.\n",
    "chinese.md": f"# 挂失补卡\n\n{CHINESE}新卡在五天之内寄到。\n",
    "hostile.txt": f"<img src=x onerror=alert(1)>\n\nThe vault code is {SCRIPT} and never told.\n",
}


def opened(folder: Path) -> Domain:
    """A domain with an encoder that needs no weights."""
    domain = open_domain(folder)
    domain.encoder = HashingEncoder(dimension=256)
    return domain


def write_domains(folder: Path, backbone: Path, api: Server) -> dict[str, Path]:
    """Two domains: `bank` quotes its documents; `writer` streams what `api` replies, and marks what is unsupported."""
    own: dict[str, dict[str, Any]] = {
        "bank": {
            "title": "Hexley Bank",
            "backbone": str(backbone),
            "dtype": "float32",
            "answer": {"form": "quote", "condense": "join"},
        },
        "writer": {
            "title": "Letter writer",
            "backbone": "openai:small-model",
            "base_url": api.url,
            "answer": {"form": "generate", "unsupported": "mark", "max_tokens": None, "condense": "join"},
        },
    }
    folders = {}
    for name, settings in own.items():
        folders[name] = folder / name
        write_documents(folders[name] / "docs")
        for file, text in _MORE.items():
            (folders[name] / "docs" / file).write_text(text, encoding="utf-8")
        passages = {"passages": 3, "evidence_tokens": 300, "passage_tokens": 48}
        retrieval = {**passages, "evidence_threshold": 0.3 if name == "bank" else 0}
        text = yaml.safe_dump({"name": name, "retrieval": retrieval, **settings})
        (folders[name] / "domain.yaml").write_text(text, encoding="utf-8")
        domain = opened(folders[name])
        domain.ingest()
        domain.close()
    return folders


class PageServer:
    """A server in a thread of this process; `address` is its root."""

    def __init__(self, folders: dict[str, Path], port: int = 0, **settings: Any) -> None:
        self.folders = folders
        self.served = ServedDomains(folders)
        self.app = make_app(self.served, ServerSettings(preload=False, **settings))
        self._server = uvicorn.Server(
            uvicorn.Config(self.app, host="127.0.0.1", port=port, log_level="warning", timeout_graceful_shutdown=2)
        )
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self.port = 0

    def wait_until_idle(self) -> None:
        """Wait until no stream is open and no answer is written; RuntimeError after ten seconds."""
        limits, deadline = self.app.state.limits, time.monotonic() + 10
        while limits.running or limits.streams:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{limits.running} answers are written, {limits.streams} streams are open")
            time.sleep(0.01)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        self._thread.start()
        deadline = time.monotonic() + 30
        while not self._server.started:
            if time.monotonic() > deadline or not self._thread.is_alive():
                raise RuntimeError("the server did not start")
            time.sleep(0.01)
        self.port = self._server.servers[0].sockets[0].getsockname()[1]

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(30)


@contextmanager
def running_server(folders: dict[str, Path], port: int = 0, **settings: Any) -> Iterator[PageServer]:
    """A running server over domains whose encoder needs no weights."""
    before = served_module.open_domain
    served_module.open_domain = opened  # type: ignore[assignment]
    server = PageServer(folders, port, **settings)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        served_module.open_domain = before
