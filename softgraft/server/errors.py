"""Errors as responses: OpenAI's error object, with the status that `softgraft.errors` has for each error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from chains.speakers.secrets import without_secrets
from soft_prompt.errors import ConstraintError, ContextError
from soft_prompt.json_text import dump_json
from softgraft.errors import KNOWN, outcome_of
from softgraft.failures import known_error

_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
_ROLES = ("assistant", "developer", "system", "tool", "user")
_CODES = {
    400: "invalid_request",
    401: "invalid_api_key",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "request_too_large",
    421: "wrong_host",
    429: "rate_limit_exceeded",
    503: "unavailable",
}


class RequestError(Exception):
    """A request that is refused.

    Args:
        param: the parameter at fault, such as `messages[0].content`; None if there is none.
        code: a word for programs; by default that of the status.
        retry_after: seconds after which the request may succeed.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        param: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.param = param
        self.code = code
        self.retry_after = retry_after

    def response(self) -> JsonResponse:
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        body = {"error": error_object(self.message, self.status, self.param, self.code)}
        return JsonResponse(body, status_code=self.status, headers=headers)


class JsonResponse(Response):
    """JSON in ASCII: a lone surrogate in a text of the request does not make the response fail."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return dump_json(content).encode()


def error_object(message: str, status: int, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    """The content of `error` in OpenAI's format, without keys and passwords."""
    kind = _TYPES.get(status) or ("server_error" if status >= 500 else "invalid_request_error")
    return {
        "message": without_secrets(message),
        "type": kind,
        "param": param,
        "code": code or _CODES.get(status, kind),
    }


def as_request_error(error: Exception) -> RequestError:
    """A known error of this project as a response."""
    if isinstance(error, ContextError):
        return RequestError(str(error), param="messages", code="context_length_exceeded")
    if isinstance(error, ConstraintError):
        return RequestError(str(error), param="response_format")
    status = outcome_of(error).http_status
    return RequestError(str(error), status=status, retry_after=5 if status == 503 else None)


def explained(error: Exception) -> RequestError | None:
    """The response to an error, also of the operating system; None for a bug."""
    if isinstance(error, RequestError):
        return error
    known = error if isinstance(error, KNOWN) else known_error(error)
    return None if known is None else as_request_error(known)


def add_error_handlers(app: FastAPI) -> None:
    """Answer every error of a route with OpenAI's error object."""

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestError)
        return error.response()

    async def known(request: Request, error: Exception) -> Response:
        return as_request_error(error).response()

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        response = RequestError(str(error.detail), status=error.status_code).response()
        response.headers.update(error.headers or {})
        return response

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return validation_error(error.errors()).response()

    app.add_exception_handler(RequestError, refused)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)
    for known_class in KNOWN:
        app.add_exception_handler(known_class, known)


def validation_error(problems: Sequence[Mapping[str, Any]]) -> RequestError:
    """The first problem of a body or query, named by its parameter."""
    # A parameter that does not exist is named before the consequences of others.
    problem = min(problems, key=lambda one: one["type"] != "extra_forbidden")
    where, *path = problem["loc"]
    param = _param(path) or None
    if problem["type"] == "json_invalid":
        return RequestError("The body is not JSON. Expected: a JSON object.")
    if problem["type"] == "extra_forbidden":
        return RequestError(
            f"Unsupported parameter: {param}. Expected: only parameters that docs/server.md lists. Next: leave it out.",
            param=param,
            code="unsupported_parameter",
        )
    if problem["type"] == "missing":
        message = f"Missing: {param or f'the {where}'}."
        return RequestError(message, param=param, code="missing_required_parameter")
    reason = str(problem["msg"]).removeprefix("Value error, ")
    return RequestError(f"Invalid value for {param or f'the {where}'}: {reason}.", param=param, code="invalid_value")


def _param(path: Sequence[object]) -> str:
    text, before = "", None
    for part in path:
        # The names of a union's variants are no part of the parameter: the role of a message, or a type.
        is_variant = isinstance(before, int) and part in _ROLES
        if isinstance(part, int):
            text += f"[{part}]"
        elif isinstance(part, str) and part.replace("_", "").isalnum() and not is_variant:
            text += f".{part}" if text else part
        before = part
    return text
