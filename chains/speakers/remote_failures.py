"""What went wrong with a model behind an API, as one error that says what to do.

LangChain's packages raise their provider's exceptions, and most of them also a class of `langchain_core.exceptions`
for what has happened; where they do not, the HTTP status tells it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from langchain_core.exceptions import (
    ContextOverflowError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelInvalidRequestError,
    ModelNotFoundError,
    ModelPermissionDeniedError,
    ModelRateLimitError,
    ModelTimeoutError,
)
from langchain_core.messages import AIMessageChunk

from chains.errors import RemoteModelError

_KEY = "check the key in the environment, OPENAI_API_KEY for `openai:`"
# The first kind that fits counts: what was found, and what to do.
_KINDS: tuple[tuple[tuple[type[BaseException], ...], str, str], ...] = (
    ((ModelAuthenticationError, ModelPermissionDeniedError), "refuses the key", _KEY),
    (
        (ContextOverflowError,),
        "has no room for the prompt",
        "lower retrieval.evidence_tokens or answer.history_turns in domain.yaml",
    ),
    (
        (ModelNotFoundError,),
        "does not know the model or the address",
        "check `base_url` and the name of the model in domain.yaml",
    ),
    (
        (ModelRateLimitError,),
        "takes no more requests for now",
        "ask again later, or raise remote.max_retries in domain.yaml; check what the key may still use",
    ),
    (
        (ModelTimeoutError, TimeoutError),
        "did not answer in time",
        "ask again, or raise remote.timeout_seconds in domain.yaml",
    ),
    (
        (ModelConnectionError, ConnectionError),
        "cannot be reached, or the connection was lost",
        "check that the server runs, and `base_url` in domain.yaml",
    ),
    (
        (ModelInvalidRequestError,),
        "does not take the request",
        "change what it names in domain.yaml; `answer.temperature: null` and `answer.max_tokens: null` leave these out",
    ),
    ((ModelAPIError,), "failed on its side", "ask again later"),
    # Not JSON, or no event at all: a web page, say.
    (
        (ValueError,),
        "answered with something that is not its protocol",
        "check that `base_url` in domain.yaml is that of the API; it mostly ends in /v1",
    ),
)
_STATUSES: dict[int, type[BaseException]] = {
    400: ModelInvalidRequestError,
    401: ModelAuthenticationError,
    403: ModelPermissionDeniedError,
    404: ModelNotFoundError,
    408: ModelTimeoutError,
    413: ContextOverflowError,
    422: ModelInvalidRequestError,
    429: ModelRateLimitError,
}
# LangChain looks for the code in the message, where the client does not always put it; other servers have no code.
_TOO_LONG = re.compile(r"context (length|size|window)|prompt is too long", re.IGNORECASE)
_FINISHES = ("finish_reason", "stop_reason", "done_reason", "status")


def remote_failure(error: Exception) -> RemoteModelError:
    """The error of this project for one that a provider's package raised."""
    message = " ".join(str(error).split()) or type(error).__name__
    kind = _kind(error)
    for kinds, found, next_step in _KINDS:
        if issubclass(kind, kinds):
            return RemoteModelError(
                found=f"the model behind the API {found}: {message}",
                expected="a reachable server that accepts the key and answers the request",
                next_step=next_step,
            )
    return RemoteModelError(
        found=f"the model behind the API did not answer: {message}",
        expected="a reachable server that accepts the key and knows the model",
        next_step="check OPENAI_API_KEY, `base_url` and the name of the model in domain.yaml",
    )


class Ending:
    """How a streamed reply ended: a connection that closes early looks like an end, and so does a full stop of the
    server's content filter."""

    def __init__(self) -> None:
        self._reason: str | None = None
        self._told = False
        self._text = False

    def see(self, chunk: AIMessageChunk, text: str) -> None:
        """Take note of one chunk and of its text."""
        metadata: dict[str, Any] = chunk.response_metadata
        self._text = self._text or bool(text.strip())
        # Servers of OpenAI's protocol say why a reply ends, all of them.
        self._told = self._told or metadata.get("model_provider") == "openai"
        self._reason = next((str(metadata[name]) for name in _FINISHES if metadata.get(name)), self._reason)

    def check(self) -> None:
        """After the last chunk.

        Raises:
            RemoteModelError: the reply is cut off, was withheld, or has no text.
        """
        if self._reason is None and self._told:
            raise RemoteModelError(
                found="the reply of the model behind the API breaks off: the connection ended before it",
                expected="a reply with its end",
                next_step="ask again; look at the server's log if it goes on",
            )
        reason = (self._reason or "").lower()
        if reason in ("content_filter", "refusal", "safety"):
            raise RemoteModelError(
                found=f"the reply of the model behind the API was withheld ({self._reason})",
                expected="a question and documents that the provider answers on",
                next_step="ask in other words, or take another model",
            )
        if reason in ("length", "max_tokens") and not self._text:
            raise RemoteModelError(
                found="the model behind the API used up answer.max_tokens without a word of an answer",
                expected="room for what the model thinks to itself before it answers",
                next_step="raise answer.max_tokens in domain.yaml, or set it to null",
            )


def _kind(error: Exception) -> type[BaseException]:
    status = getattr(error, "status_code", None)
    if status == 400 and (getattr(error, "code", None) == "context_length_exceeded" or _TOO_LONG.search(str(error))):
        return ContextOverflowError
    if any(isinstance(error, kinds) for kinds, _, _ in _KINDS):
        return type(error)
    if isinstance(status, int):
        return _STATUSES.get(status, ModelAPIError if status >= 500 else type(error))
    # An HTTP library's own errors have the socket's behind them.
    behind = list(_causes(error))
    if any(isinstance(cause, TimeoutError) for cause in behind):
        return ModelTimeoutError
    return ModelConnectionError if any(isinstance(cause, OSError) for cause in behind) else type(error)


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__
