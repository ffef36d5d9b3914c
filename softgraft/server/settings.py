"""Address and limits of a server."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Settings of one server process.

    Attributes:
        running: maximum number of requests that are answered at the same time.
        queue: maximum number of requests that wait for one of these places.
        streams: maximum number of open streams.
        body_bytes: maximum size of a request body.
        answer_tokens: maximum value of a request's `max_tokens`.
        first_token_seconds: maximum time from the arrival of a request to the first piece of its answer.
        drain_seconds: maximum time that running answers get when the server is stopped.
        retry_after_seconds: what a refused caller is told to wait.
        keys: file of hashed keys; None for a server without keys.
        origins: origins of web pages that may call the server (CORS); empty for none.
        hosts: names that the Host header may have, in addition to the loopback names.
        public_url: address that links to documents begin with, behind a proxy; empty for that of the request.
        log_questions: whether the log contains the questions.
        preload: whether domains are loaded at the start instead of at their first question.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    running: int = 16
    queue: int = 64
    streams: int = 64
    body_bytes: int = 1024 * 1024
    answer_tokens: int = 1024
    first_token_seconds: float = 60.0
    drain_seconds: float = 30.0
    retry_after_seconds: int = 1
    keys: Path | None = None
    origins: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    public_url: str = ""
    log_questions: bool = False
    preload: bool = True

    @property
    def loopback(self) -> bool:
        """Whether only programs of this machine reach the address."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether a host is `localhost` or a loopback address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
