"""What applies to every route: request ids, the log, security headers, the Host and Origin checks, keys and body size.

`Edge` is the outermost middleware. `Gate` stands behind the CORS middleware, so that a browser can read its refusals.
Both are plain ASGI: a middleware that buffers would hide from a route that its caller has left.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Iterable
from urllib.parse import quote, urlsplit

from fastapi import HTTPException
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from softgraft.errors import StorageError
from softgraft.server.callers import Caller, calling
from softgraft.server.errors import RequestError, as_request_error, explained
from softgraft.server.keys import KeyFile
from softgraft.server.limits import Limits
from softgraft.server.metrics import Metrics
from softgraft.server.settings import ServerSettings

_log = logging.getLogger("softgraft.server")
# Key of the scope for the name of the domain that a request is about.
DOMAIN = "softgraft.domain"
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_METHODS = _READING | {"DELETE", "PATCH", "POST", "PUT"}
# Paths that need a key and are never cached. The others, the page's own files and the health checks, hold no data.
_PRIVATE = ("/v1", "/api", "/metrics")
# Requests to these take one of the places that `--running` and `--queue` limit.
_QUESTIONS = frozenset({"/api/ask", "/v1/chat/completions", "/v1/embeddings"})
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


# For 30 days browsers use HTTPS alone for this host name, also on its other ports.
_STRICT = "max-age=2592000"


class Edge:
    """Gives each request an id, checks where it comes from, and logs how it ended."""

    def __init__(self, app: ASGIApp, settings: ServerSettings, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        self._origins = frozenset(settings.origins)
        # A name such as localhost belongs to other servers as well, which may speak plain HTTP.
        self._strict = not settings.loopback
        self._hosts: frozenset[str] | None = None
        if settings.loopback or settings.hosts:
            own = _LOOPBACK_NAMES if settings.loopback else frozenset()
            self._hosts = frozenset({*own, settings.host.strip("[]").lower(), *map(str.lower, settings.hosts)})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id, started = f"req_{secrets.token_hex(8)}", time.perf_counter()
        scope.setdefault("state", {})["request_id"] = request_id
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _add_headers(message, scope["path"], request_id)
                if self._strict and scope["scheme"] == "https":
                    MutableHeaders(scope=message)["Strict-Transport-Security"] = _STRICT
            await send(message)

        try:
            self._check_source(scope)
            await self._app(scope, receive, answer)
        except asyncio.CancelledError:
            status = status or 499
            raise
        except Exception as error:
            problem = explained(error)
            if problem is None:
                _log.exception("id=%s failed", request_id)
                problem = RequestError(f"Internal error. The server's log has more under {request_id}.", status=500)
            if status:
                raise
            await problem.response()(scope, receive, answer)
        finally:
            self._record(scope, request_id, status, time.perf_counter() - started)

    def _check_source(self, scope: Scope) -> None:
        """Refuse requests that a foreign web page may have made in a user's browser."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self._hosts is not None and _name_of(host) not in self._hosts:
            raise RequestError(
                f"The host {host!r} is not served. Expected: one of {', '.join(sorted(self._hosts))}. "
                "Next: start the server with --allow-host.",
                status=421,
            )
        origin = headers.get("origin")
        if origin is None or scope["method"] in _READING or origin in self._origins:
            return
        # Behind a proxy with TLS, the origin is https although this server is asked over http.
        schemes = ("https",) if scope["scheme"] == "https" else ("http", "https")
        if origin.lower() not in {f"{scheme}://{host.lower()}" for scheme in schemes}:
            raise RequestError(
                f"Requests from pages of {origin!r} are not allowed. Next: start the server with --cors.", status=403
            )

    def _record(self, scope: Scope, request_id: str, status: int, seconds: float) -> None:
        path = getattr(scope.get("route"), "path", "other")
        # Callers may make up methods, and each label would stay in memory.
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.requests.labels(method, path, str(status)).inc()
        self._metrics.seconds.labels(path).observe(seconds)
        details = {
            "domain": scope.get(DOMAIN),
            "key": scope["state"].get("key"),
            "question": scope["state"].get("question"),
        }
        _log.info(
            "id=%s %s %s %s %.3fs%s",
            request_id,
            scope["method"],
            quote(scope["path"], safe="/"),
            status,
            seconds,
            "".join(
                f" {name}={quote(value, '', errors='backslashreplace')}" for name, value in details.items() if value
            ),
        )


class Gate:
    """Lets callers with a valid key pass, and no body that is too large.

    Under overload, a question is refused here: reading and checking its body would take the time of others.
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings, limits: Limits) -> None:
        self._app = app
        self._limits = limits
        self._most = settings.body_bytes
        self._keys = KeyFile(settings.keys) if settings.keys is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            caller = await self._caller(scope)
            self._check_length(scope)
            if scope["method"] == "POST" and scope["path"] in _QUESTIONS:
                self._limits.require_place()
        except RequestError as error:
            await error.response()(scope, receive, send)
            return
        with calling(caller):
            await self._app(scope, self._limited(receive), send)

    async def _caller(self, scope: Scope) -> Caller:
        if self._keys is None or not _starts_with(scope["path"], _PRIVATE):
            return Caller()
        scheme, _, key = Headers(scope=scope).get("authorization", "").partition(" ")
        try:
            caller = self._keys.caller(key.strip()) if scheme.lower() == "bearer" else None
        except StorageError as error:
            _log.error("%s", error)
            raise as_request_error(error) from error
        if caller is None:
            raise RequestError(
                "No valid key. Expected: the header `Authorization: Bearer KEY`. "
                "Next: ask for a key; the server's owner makes one with `softgraft serve --new-key NAME`.",
                status=401,
            )
        scope["state"]["key"] = caller.name
        return caller

    def _check_length(self, scope: Scope) -> None:
        length = Headers(scope=scope).get("content-length", "")
        if length.isdecimal() and int(length) > self._most:
            raise _too_large(self._most)

    def _limited(self, receive: Receive) -> Receive:
        received = 0

        async def limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._most:
                # FastAPI passes only its own exception on.
                raise HTTPException(413, _too_large(self._most).message)
            return message

        return limited


def _too_large(most: int) -> RequestError:
    return RequestError(f"The body is larger than {most} bytes. Next: send less.", status=413)


def _add_headers(message: Message, path: str, request_id: str) -> None:
    headers = MutableHeaders(scope=message)
    headers["X-Request-Id"] = request_id
    for name, value in _HEADERS.items():
        headers.setdefault(name, value)
    if _starts_with(path, _PRIVATE):
        headers.setdefault("Cache-Control", "no-store")


def _starts_with(path: str, folders: Iterable[str]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def _name_of(host: str) -> str:
    """The name in a Host header, without its port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
