"""Convert the failures of a model behind an API, by exception or HTTP status, to one error with a next step."""

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
from langchain_core.messages import AIMessage

from chains.errors import RemoteModelError
from chains.speakers.secrets import without_secrets

_KEY = "check the key in the environment, OPENAI_API_KEY for `openai:`"
# Exception classes, what was found, and the next step; the first match is used.
_FAILURES: tuple[tuple[tuple[type[BaseException], ...], str, str], ...] = (
    ((ModelAuthenticationError, ModelPermissionDeniedError), "refuses the key", _KEY),
    (
        (ContextOverflowError,),
        "has too short a context for the prompt",
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
    # The response is not JSON, such as a web page.
    (
        (ValueError,),
        "answered with something other than the API's protocol",
        "check that `base_url` in domain.yaml is the address of the API; it usually ends in /v1",
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
# LangChain looks for the error code in the message, which does not always contain it; some servers send no code.
_TOO_LONG = re.compile(r"context (length|size|window)|prompt is too long", re.IGNORECASE)
_FINISHES = ("finish_reason", "stop_reason", "done_reason", "status")


def to_remote_error(error: Exception) -> RemoteModelError:
    # Some servers repeat the request's headers in their error.
    message = without_secrets(" ".join(str(error).split())) or type(error).__name__
    kind = _kind(error)
    for kinds, found, next_step in _FAILURES:
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


class ReplyEndCheck:
    """Checks how a streamed reply ended, since a lost connection or a content filter looks like a normal end."""

    def __init__(self) -> None:
        self._reason: str | None = None
        self._reports_reason = False
        self._has_text = False

    def add(self, chunk: AIMessage, text: str) -> None:
        metadata: dict[str, Any] = chunk.response_metadata
        self._has_text = self._has_text or bool(text.strip())
        # All servers with OpenAI's protocol report the finish reason.
        self._reports_reason = self._reports_reason or metadata.get("model_provider") == "openai"
        self._reason = next((str(metadata[name]) for name in _FINISHES if metadata.get(name)), self._reason)

    def check(self) -> None:
        if self._reason is None and self._reports_reason:
            raise RemoteModelError(
                found="the reply of the model behind the API is incomplete: the connection ended before it",
                expected="a complete reply",
                next_step="ask again; if it happens again, check the server's log",
            )
        reason = (self._reason or "").lower()
        if reason in ("content_filter", "refusal", "safety"):
            raise RemoteModelError(
                found=f"the reply of the model behind the API was withheld ({self._reason})",
                expected="a question and documents that the provider accepts",
                next_step="rephrase the question, or use another model",
            )
        if reason in ("length", "max_tokens") and not self._has_text:
            raise RemoteModelError(
                found="the model behind the API used up answer.max_tokens without any text of an answer",
                expected="enough tokens for the model's reasoning before the answer",
                next_step="raise answer.max_tokens in domain.yaml, or set it to null",
            )


def _kind(error: Exception) -> type[BaseException]:
    status = getattr(error, "status_code", None)
    if status == 400 and (getattr(error, "code", None) == "context_length_exceeded" or _TOO_LONG.search(str(error))):
        return ContextOverflowError
    if any(isinstance(error, kinds) for kinds, _, _ in _FAILURES):
        return type(error)
    if isinstance(status, int):
        return _STATUSES.get(status, ModelAPIError if status >= 500 else type(error))
    # Errors of HTTP libraries are caused by socket errors.
    causes = list(_causes(error))
    if any(isinstance(cause, TimeoutError) for cause in causes):
        return ModelTimeoutError
    return ModelConnectionError if any(isinstance(cause, OSError) for cause in causes) else type(error)


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__
