"""POST /v1/chat/completions."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse

from softgraft.server.edge import DOMAIN
from softgraft.server.errors import JsonResponse, RequestError, error_object, explained
from softgraft.server.limits import Limits, Ticket
from softgraft.server.metrics import Metrics
from softgraft.server.protocol.answers import Question, answer_pieces, read_question
from softgraft.server.protocol.completions import DONE, Completion, Finished, event
from softgraft.server.protocol.models import find_domain
from softgraft.server.protocol.requests import ChatRequest
from softgraft.server.relay import CallerLeftError, Relay, unless_caller_leaves
from softgraft.server.served import ServedDomains
from softgraft.server.settings import ServerSettings

Piece = str | Finished
_log = logging.getLogger("softgraft.server")


def chat_router(served: ServedDomains, settings: ServerSettings, limits: Limits, metrics: Metrics) -> APIRouter:
    """The route for answers."""
    router = APIRouter(prefix="/v1/chat", tags=["chat"])

    @router.post("/completions", response_class=JsonResponse)
    async def completions(asked: ChatRequest, request: Request) -> Response:
        """Answer the last message in the voice of the domain that `model` names."""
        name = await find_domain(served, asked.model)
        request.scope[DOMAIN] = name
        question = read_question(asked, name, settings.answer_tokens)
        if settings.log_questions:
            request.state.question = question.text
        base = settings.public_url or str(request.base_url)
        completion = Completion(asked.model, name, base, question.thread)
        ticket = limits.admit(stream=bool(asked.stream))
        answer = _Answer(ticket, served, question, limits, metrics, settings)
        handed_over = False
        try:
            if not asked.stream:
                text, end = await unless_caller_leaves(request, answer.whole())
                return JsonResponse(completion.whole(text, end))
            # Errors before the first piece have a status of their own.
            first = await unless_caller_leaves(request, answer.first())
            usage = asked.stream_options is not None and bool(asked.stream_options.include_usage)
            response = _EventStream(_events(answer, first, completion, usage), answer)
            handed_over = True
            return response
        except CallerLeftError:
            metrics.disconnects.inc()
            return Response(status_code=499)
        finally:
            if not handed_over:
                answer.close()

    return router


class _Answer:
    """One answer, its ticket and its metrics."""

    def __init__(
        self,
        ticket: Ticket,
        served: ServedDomains,
        question: Question,
        limits: Limits,
        metrics: Metrics,
        settings: ServerSettings,
    ) -> None:
        self._ticket = ticket
        self._question = question
        self._limits = limits
        self._metrics = metrics
        self._seconds = settings.first_token_seconds
        self._started = time.perf_counter()
        self._ended = False
        self.relay: Relay[Piece] = Relay(ticket, lambda: answer_pieces(served, question))

    async def first(self) -> Piece:
        """The first piece of the answer.

        Raises:
            RequestError: if it does not come in time.
        """
        try:
            piece = await asyncio.wait_for(self.relay.next(), self._seconds)
        except TimeoutError:
            self.relay.stop()
            raise self._limits.too_late() from None
        except StopAsyncIteration:
            raise _stopped() from None
        self._metrics.first_token.labels(self._question.domain).observe(time.perf_counter() - self._started)
        return piece

    async def whole(self) -> tuple[str, Finished]:
        """The whole answer."""
        piece, texts = await self.first(), []
        while not isinstance(piece, Finished):
            texts.append(piece)
            try:
                piece = await self.relay.next()
            except StopAsyncIteration:
                raise _stopped() from None
        self.finish(piece)
        return "".join(texts), piece

    def finish(self, end: Finished) -> None:
        """Count the answer."""
        self._ended = True
        self._metrics.count_answer(self._question.domain, end.usage, refused=bool(end.result.get("refused")))

    def fail(self) -> None:
        """The answer ends with an error, which its caller gets."""
        self._ended = True

    def close(self, *, left: bool = False) -> None:
        """The response has ended; a model that still generates is stopped."""
        if left and not self._ended:
            self._metrics.disconnects.inc()
        self.relay.stop()
        self._ticket.close()


class _EventStream(StreamingResponse):
    """A stream of events that stops its answer when it ends, for whatever reason."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[bytes], answer: _Answer) -> None:
        # A proxy that collects a response would hold the stream back.
        super().__init__(events, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._answer = answer

    async def __call__(self, *arguments: Any) -> None:
        try:
            await super().__call__(*arguments)
        finally:
            self._answer.close(left=True)


async def _events(answer: _Answer, first: Piece, completion: Completion, usage: bool) -> AsyncGenerator[bytes]:
    yield completion.first()
    piece, texts = first, []
    try:
        while not isinstance(piece, Finished):
            texts.append(piece)
            yield completion.piece(piece)
            piece = await answer.relay.next()
    except StopAsyncIteration:
        error = _stopped()
    except Exception as problem:  # noqa: BLE001 the status is sent already, so the error is an event
        error = explained(problem) or _failed(problem)
    else:
        answer.finish(piece)
        yield completion.last("".join(texts), piece)
        if usage:
            yield completion.usage(piece)
        yield DONE
        return
    answer.fail()
    yield event({"error": error_object(error.message, error.status, error.param, error.code)})


def _failed(problem: Exception) -> RequestError:
    _log.error("an answer failed", exc_info=problem)
    return RequestError("Internal error. The server's log has more.", status=500)


def _stopped() -> RequestError:
    return RequestError("Unavailable: the answer was stopped.", status=503, retry_after=5)
