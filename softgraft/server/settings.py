"""Address, limits and callers of a server."""

from __future__ import annotations

import ipaddress
import math
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from softgraft.errors import UsageError

_DEFAULT_PORTS = {"http": 80, "https": 443}
# Names from other alphabets are sent in their ASCII form.
_HOST_NAME = re.compile(r"[A-Za-z0-9_.-]{1,253}")


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
        tls_cert, tls_key: PEM files with the certificate (chain) and its private key, for HTTPS; None for HTTP.
        origins: origins of web pages that may call the server (CORS); empty for none.
        hosts: names that the Host header may have, in addition to the loopback names.
        public_url: address that links to documents begin with, behind a proxy; empty for that of the request.
        log_questions: whether the log contains the questions.
        preload: whether domains are loaded at the start instead of at their first question.

    Raises:
        UsageError: if a value could never have an effect, such as an origin with a path, or only one TLS file is given.
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
    tls_cert: Path | None = None
    tls_key: Path | None = None
    origins: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    public_url: str = ""
    log_questions: bool = False
    preload: bool = True

    def __post_init__(self) -> None:
        for origin in self.origins:
            _check_origin(origin)
        for name in self.hosts:
            _check_host(name)
        if self.public_url:
            _check_public_url(self.public_url)
        _check_seconds("--first-token-seconds", self.first_token_seconds)
        _check_seconds("--drain-seconds", self.drain_seconds)
        if (self.tls_cert is None) != (self.tls_key is None):
            given, missing = ("--tls-cert", "--tls-key") if self.tls_key is None else ("--tls-key", "--tls-cert")
            raise UsageError(
                found=f"{given} without {missing}",
                expected="both: the certificate and its private key",
                next_step=f"add {missing} FILE",
            )

    @property
    def loopback(self) -> bool:
        """Whether only programs of this machine reach the address."""
        return is_loopback(self.host)

    @property
    def tls(self) -> bool:
        """Whether the server speaks HTTPS."""
        return self.tls_cert is not None

    @property
    def exposes_keys(self) -> bool:
        """Whether keys cross the network unencrypted, as far as these settings show."""
        return not (self.loopback or self.tls or self.public_url.startswith("https://"))


def is_loopback(host: str) -> bool:
    """Whether a host is `localhost` or a loopback address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def require_keys(settings: ServerSettings) -> None:
    """Raises UsageError if others could reach the server without a key."""
    if not settings.loopback and settings.keys is None:
        raise UsageError(
            found=f"the address {settings.host}, which other machines reach, and no keys",
            expected="SOFTGRAFT_KEYS or --keys with a file of keys, or --host 127.0.0.1",
            next_step="make a key: softgraft serve --new-key NAME",
        )


def _check_origin(origin: str) -> None:
    parts = _split(origin)
    is_default = parts is not None and parts.port == _DEFAULT_PORTS.get(parts.scheme, 0)
    # As browsers write it: anything else would never be equal to what they send.
    if parts is None or is_default or "@" in origin or origin != f"{parts.scheme}://{parts.netloc}".lower():
        raise UsageError(
            found=f"--cors {origin!r}, which is not an origin that a browser sends",
            expected="scheme, host in lower case and, unless it is the default, port; no path, no `*`",
            next_step="write it as in: --cors https://chat.example",
        )


def _check_host(name: str) -> None:
    if not (_is_address(name) or _HOST_NAME.fullmatch(name)):
        raise UsageError(
            found=f"--allow-host {name!r}, which is not the name of a host",
            expected="a name or an IP address, without scheme, port and path",
            next_step="write it as in: --allow-host bank.example",
        )


def _check_public_url(address: str) -> None:
    parts = _split(address)
    if parts is None or parts.scheme not in _DEFAULT_PORTS or parts.query or parts.fragment:
        raise UsageError(
            found=f"--public-url {address!r}, to which no link can be made",
            expected="an address with http:// or https:// and a host, without `?` and `#`",
            next_step="write it as in: --public-url https://bank.example",
        )


def _check_seconds(option: str, seconds: float) -> None:
    if not math.isfinite(seconds):
        raise UsageError(
            found=f"{option} {seconds}", expected="a number of seconds", next_step=f"write it as in: {option} 30"
        )


def _split(address: str) -> SplitResult | None:
    """The parts of an address with scheme and host; None if it is none."""
    try:
        parts = urlsplit(address)
        return parts if parts.scheme and parts.hostname and parts.port != 0 else None
    except ValueError:
        return None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
