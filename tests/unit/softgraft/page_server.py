"""The page over real domains on a tiny backbone, served on a port of this machine, and a real browser to read it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from house_domain import opened, write_domain
from playwright.sync_api import BrowserContext, sync_playwright

from softgraft.server import served as served_module
from softgraft.server.app import make_app
from softgraft.server.served import ServedDomains
from softgraft.server.settings import ServerSettings

CHROMIUM = Path("/usr/bin/chromium")
_ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
# Astral characters before the quoted words: JavaScript and Python count them differently.
RATES = (
    "# Rates \N{CREDIT CARD}\n\nBanks \N{BANK}\N{BANK} write short leaflets. "
    "A safe deposit box costs 48 euros a year. It has to be cancelled in writing.\n"
)
ARABIC = "# رسوم البطاقة\n\nتكلفة البطاقة البديلة هي 12 يورو. تصل البطاقة خلال خمسة أيام.\n"
CHINESE = "# 挂失补卡\n\n补办一张新卡的费用是十二欧元。新卡在五天之内寄到。\n"


def write_domains(folder: Path, backbone: Path) -> dict[str, Path]:
    """Two domains: `bank` quotes its documents; `words` writes what a random model writes, and marks it."""
    settings = {"retrieval": {"passages": 3, "evidence_tokens": 300, "passage_tokens": 48}}
    quoting = {"form": "quote", "max_tokens": 6}
    free = {"form": "generate", "unsupported": "mark", "max_tokens": 24}
    folders = {
        "bank": write_domain(folder / "bank", str(backbone), **settings, title="Hexley Bank", answer=quoting),
        "words": write_domain(
            folder / "words",
            str(backbone),
            retrieval={**settings["retrieval"], "evidence_threshold": 0},
            title="Loose words",
            answer=free,
        ),
    }
    for one in folders.values():
        (one / "docs" / "rates.md").write_text(RATES, encoding="utf-8")
        (one / "docs" / "arabic.md").write_text(ARABIC, encoding="utf-8")
        (one / "docs" / "chinese.md").write_text(CHINESE, encoding="utf-8")
        (one / "docs" / "hostile.md").write_text(
            "# <img src=x onerror=alert(1)>\n\nThe vault code is <script>document.title='broken'</script> never told.\n",
            encoding="utf-8",
        )
        domain = opened(one)
        domain.ingest()
        domain.close()
    return folders


class PageServer:
    """A server in a thread of this process; `address` is its root."""

    def __init__(self, folders: dict[str, Path], port: int = 0) -> None:
        self.served = ServedDomains(folders)
        self.app = make_app(self.served, ServerSettings(preload=False))
        self._server = uvicorn.Server(
            uvicorn.Config(self.app, host="127.0.0.1", port=port, log_level="warning", timeout_graceful_shutdown=2)
        )
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self.port = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        self._thread.start()
        deadline = time.monotonic() + 20
        while not self._server.started:
            if time.monotonic() > deadline or not self._thread.is_alive():
                raise RuntimeError("the server did not start")
            time.sleep(0.01)
        self.port = self._server.servers[0].sockets[0].getsockname()[1]

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(20)


@contextmanager
def running_server(folders: dict[str, Path], port: int = 0) -> Iterator[PageServer]:
    """A running server over domains whose encoder needs no weights."""
    before = served_module.open_domain
    served_module.open_domain = opened  # type: ignore[assignment]
    server = PageServer(folders, port)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        served_module.open_domain = before


@contextmanager
def browser(profile: Path, **options: object) -> Iterator[BrowserContext]:
    """Chromium with an empty profile. `options` are those of a Playwright context."""
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=CHROMIUM, headless=True, args=list(_ARGUMENTS), **options  # type: ignore[arg-type]
        )
        try:
            yield context
        finally:
            context.close()
