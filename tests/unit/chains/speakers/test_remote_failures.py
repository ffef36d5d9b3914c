"""The exceptions of providers' packages, with LangChain's classes or without, each as what has happened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from langchain_core.exceptions import ContextOverflowError, ModelError, ModelRateLimitError

from chains.speakers.remote_failures import to_remote_error


class StatusError(Exception):
    """A package's own error for an HTTP status."""

    def __init__(self, status_code: int, message: str = "no") -> None:
        self.status_code = status_code
        super().__init__(message)


class WebError(Exception):
    """An HTTP library's own error."""


class MixedError(StatusError, ModelRateLimitError):
    """A package's own error that says what it is."""


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (StatusError(401), "refuses the key: no"),
        (StatusError(403), "refuses the key"),
        (StatusError(404), "does not know the model or the address"),
        (StatusError(408), "did not answer in time"),
        (StatusError(413), "has too short a context for the prompt"),
        (StatusError(400, "the request exceeds the available context size"), "has too short a context for the prompt"),
        (StatusError(400), "does not take the request"),
        (StatusError(422), "does not take the request"),
        (StatusError(429), "takes no more requests for now"),
        (StatusError(500), "failed on its side"),
        (StatusError(529), "failed on its side"),
        (StatusError(418), "did not answer: no"),
        (MixedError(500), "takes no more requests for now"),
        (ContextOverflowError("too much"), "has too short a context for the prompt: too much"),
        (ModelError("some new kind"), "did not answer: some new kind"),
        (TimeoutError(), "did not answer in time: TimeoutError"),
        (ConnectionRefusedError("refused"), "cannot be reached, or the connection was lost: refused"),
        (ValueError("No generation chunks were returned"), "something other than the API"),
        (TypeError("unexpected keyword\nargument"), "did not answer: unexpected keyword argument"),
    ],
)
def test_each_failure_is_reported_with_its_cause(error: Exception, found: str) -> None:
    failure = to_remote_error(error)
    assert found in failure.found
    assert failure.found.startswith("the model behind the API ")
    assert failure.expected
    assert failure.next_step


@contextmanager
def wrapped(cause: OSError) -> Iterator[None]:
    """Raises a library's error on top of the socket's."""
    try:
        raise cause
    except OSError as error:
        raise WebError("wrapped") from error


@pytest.mark.parametrize(
    ("cause", "found"),
    [
        (TimeoutError("slow"), "did not answer in time: wrapped"),
        (ConnectionResetError("gone"), "cannot be reached, or the connection was lost: wrapped"),
        (OSError("Name or service not known"), "cannot be reached, or the connection was lost: wrapped"),
    ],
)
def test_a_socket_error_behind_a_library_error_is_recognised(cause: OSError, found: str) -> None:
    with pytest.raises(WebError) as caught, wrapped(cause):
        pass
    assert found in to_remote_error(caught.value).found
