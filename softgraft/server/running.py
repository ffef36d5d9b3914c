"""Run the server: bind the address, print it, answer until a signal comes, and drain."""

from __future__ import annotations

import logging
import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI

from softgraft.errors import UsageError
from softgraft.server.app import make_app
from softgraft.server.keys import read_keys
from softgraft.server.served import ServedDomains
from softgraft.server.settings import ServerSettings, require_keys
from softgraft.server.tls import tls_context

# Models and retrieval run in threads. With Python's 5 ms, each of them delays the event loop by that much.
_SWITCH_SECONDS = 0.0005


def run_server(
    served: ServedDomains, settings: ServerSettings, on_address: Callable[[str], None] = lambda address: None
) -> None:
    """Serve until SIGINT or SIGTERM; then running answers get `settings.drain_seconds` to end.

    `on_address` is called with the address as soon as requests are accepted.

    Raises:
        UsageError: if the address or the certificate cannot be used, or the address is not a loopback address and there
            are no keys.
        StorageError: if the keys cannot be read.
    """
    require_keys(settings)
    if settings.keys is not None:
        read_keys(settings.keys)
    app = make_app(served, settings)
    config = server_config(app, settings)
    listening = bind(settings)
    _log_to_stderr()
    sys.setswitchinterval(_SWITCH_SECONDS)
    server = _Server(config, app.state.limits, lambda: on_address(address_of(listening, settings)))
    server.run(sockets=[listening])


def server_config(app: FastAPI, settings: ServerSettings) -> uvicorn.Config:
    """How uvicorn runs the application; the socket is passed when it starts.

    Raises:
        UsageError: if the certificate or its key cannot be used.
    """
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        # The header of a proxy would be believed whoever sends it.
        proxy_headers=False,
        timeout_graceful_shutdown=max(1, round(settings.drain_seconds)),
        h11_max_incomplete_event_size=64 * 1024,
    )
    # The context that was checked, not one that uvicorn makes of the same files.
    config.load()
    config.ssl = tls_context(settings)
    return config


def bind(settings: ServerSettings) -> socket.socket:
    """A socket that listens on the address.

    Raises:
        UsageError: if the address is in use, not allowed, or not of this machine.
    """
    try:
        [(family, _, _, _, address), *_] = socket.getaddrinfo(
            settings.host.strip("[]"), settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        return socket.create_server(address[:2], family=family, backlog=1024)
    except (OSError, UnicodeError) as error:
        # UnicodeError: a name that no name server can be asked for, such as one with a part of 64 letters.
        raise UsageError(
            found=f"the address {settings.host}:{settings.port} cannot be used: {_reason(error)}",
            expected="a free port on an address of this machine",
            next_step="choose another one: softgraft serve --port 8001",
        ) from error


def _reason(error: OSError | UnicodeError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def address_of(listening: socket.socket, settings: ServerSettings) -> str:
    """The URL of the server."""
    host = settings.host.strip("[]")
    port = listening.getsockname()[1]
    return f"{'https' if settings.tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, limits: Any, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self._limits = limits
        self._on_start = on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_start()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # From now on new requests are refused, and /readyz says so. A second Ctrl-C does not wait for running answers.
        self._limits.draining = True
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True


def _log_to_stderr() -> None:
    logger = logging.getLogger("softgraft.server")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
