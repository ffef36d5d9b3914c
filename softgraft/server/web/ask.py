"""POST /api/ask: one question, its answer as server-sent events."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any, cast

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import Receive, Scope, Send

from chains import Conversations
from chains.speakers.requested import RequestSettings, TokenUsage, requested_speaker
from soft_prompt.json_text import dump_json
from softgraft.errors import KNOWN
from softgraft.failures import known_error
from softgraft.server.callers import stored_thread
from softgraft.server.edge import DOMAIN
from softgraft.server.errors import RequestError, as_request_error, error_object
from softgraft.server.limits import Limits, Ticket
from softgraft.server.metrics import Metrics
from softgraft.server.relay import CallerLeftError, Relay, unless_caller_leaves
from softgraft.server.served import ServedDomains
from softgraft.server.settings import ServerSettings
from softgraft.server.web.turns import own_thread, shown_turn

MAX_QUESTION = 20_000
_MAX_THREAD = 400
_ID_BYTES = 9
# So that proxies do not take a slow answer for a dead connection.
_PING_SECONDS = 15.0
_log = logging.getLogger("softgraft.server")

# Name of an event, and its data.
Event = tuple[str, dict[str, Any]]


class AskBody(BaseModel):
    """The body of POST /api/ask; without `thread`, a new conversation begins."""

    model_config = ConfigDict(extra="forbid")

    domain: str
    question: str = Field(min_length=1, max_length=MAX_QUESTION)
    thread: str | None = Field(default=None, min_length=1, max_length=_MAX_THREAD)


def add_ask_route(
    router: APIRouter, served: ServedDomains, settings: ServerSettings, limits: Limits, metrics: Metrics
) -> None:
    """Add the route. Its questions take places, and are counted and logged, as those of the OpenAI interface are."""

    @router.post("/api/ask")
    async def ask(request: Request, body: AskBody) -> Response:
        """Events: `start`, `query`, any number of `text`, then `answer` or `error`.

        An error before the first event is a response of its own, with its status. If the caller leaves, decoding
        stops, and nothing is stored.
        """
        # A name that somebody made up does not belong in the log.
        if body.domain in served.names():
            request.scope[DOMAIN] = body.domain
        if settings.log_questions:
            request.state.question = body.question
        ticket = limits.admit(stream=True)
        usage = TokenUsage()
        relay = Relay(ticket, lambda: answer_events(served, body, usage))
        progress = _Progress(body.domain, usage, limits, metrics)
        handed_over = False
        try:
            first = await unless_caller_leaves(request, asyncio.wait_for(relay.next(), limits.first_token_seconds))
            handed_over = True
            return AnswerResponse(first, relay, ticket, progress)
        except TimeoutError:
            raise limits.too_late() from None
        except CallerLeftError:
            metrics.disconnects.inc()
            return Response(status_code=499)
        finally:
            if not handed_over:
                relay.stop()
                ticket.close()


class _Progress:
    """How far an answer is, for its deadline and its metrics."""

    def __init__(self, domain: str, usage: TokenUsage, limits: Limits, metrics: Metrics) -> None:
        self._domain = domain
        self._usage = usage
        self._limits = limits
        self._metrics = metrics
        self._started = asyncio.get_running_loop().time()
        self.has_begun = False
        self._has_ended = False

    @property
    def seconds_left(self) -> float:
        """Time that is left for the first text."""
        return self._started + self._limits.first_token_seconds - asyncio.get_running_loop().time()

    def require_time(self) -> None:
        """Raises RequestError if the first text did not come in time."""
        if not self.has_begun and self.seconds_left <= 0:
            raise self._limits.too_late()

    def add(self, event: Event) -> None:
        """An event is sent."""
        name, data = event
        if not self.has_begun and name in ("text", "answer"):
            self.has_begun = True
            self._metrics.first_token.labels(self._domain).observe(asyncio.get_running_loop().time() - self._started)
        if name == "answer":
            self._metrics.count_answer(self._domain, self._usage, refused=data["turn"]["refused"])
        self._has_ended = self._has_ended or name in ("answer", "error")

    def close(self) -> None:
        """The response has ended."""
        if not self._has_ended:
            self._metrics.disconnects.inc()


class AnswerResponse(StreamingResponse):
    """The events of one answer. However the response ends, the answer stops and its place is free."""

    def __init__(self, first: Event, relay: Relay[Event], ticket: Ticket, progress: _Progress) -> None:
        # A proxy must not collect the events.
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(self._text(first), media_type="text/event-stream", headers=headers)
        self._relay = relay
        self._ticket = ticket
        self._progress = progress

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        watching = asyncio.create_task(self._stop_when_caller_leaves(receive))
        try:
            await super().__call__(scope, receive, send)
        finally:
            watching.cancel()
            self._relay.stop()
            self._ticket.close()
            self._progress.close()

    async def _stop_when_caller_leaves(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._relay.stop()

    async def _text(self, first: Event) -> AsyncIterator[bytes]:
        progress = self._progress
        yield _encoded(first)
        waiting = asyncio.ensure_future(self._relay.next())
        try:
            while True:
                seconds = _PING_SECONDS if progress.has_begun else min(max(progress.seconds_left, 0), _PING_SECONDS)
                done, _ = await asyncio.wait({waiting}, timeout=seconds)
                if done:
                    event = waiting.result()
                    progress.add(event)
                    waiting = asyncio.ensure_future(self._relay.next())
                    yield _encoded(event)
                else:
                    progress.require_time()
                    yield KEEPALIVE_COMMENT
        except StopAsyncIteration:
            return
        except Exception as error:  # noqa: BLE001 the status has been sent, so the error is an event
            failed = "error", _error_data(error)
            progress.add(failed)
            yield _encoded(failed)
        finally:
            waiting.cancel()


async def answer_events(served: ServedDomains, body: AskBody, usage: TokenUsage) -> AsyncGenerator[Event]:
    """The events of one answer; the tokens that it takes are added to `usage`."""
    thread = body.thread or secrets.token_urlsafe(_ID_BYTES)
    config: Any = {"configurable": {"thread_id": stored_thread(thread)}}
    question, texts = body.question, []
    async with served.aopen(body.domain) as domain:
        answering = domain.chain.answering
        speaker = requested_speaker(answering.speaker, RequestSettings(), usage, domain.file.backbone)
        chain = domain.chain.with_answering(replace(answering, speaker=speaker))
        async with aclosing(cast(Any, chain.astream({"question": question}, config=config))) as parts:
            async for part in parts:
                if "question" in part:
                    question = part["question"]
                    yield "start", {"thread": thread, "question": question, "notices": part["notices"]}
                elif "query" in part:
                    yield "query", {"query": part["query"]}
                elif isinstance(part.get("answer"), str) and "citations" not in part:
                    texts.append(part["answer"])
                    yield "text", {"text": part["answer"]}
        # The turn is stored before the last part of the stream is sent.
        turn = await asyncio.to_thread(_stored_turn, domain.chain.conversations, thread, question, "".join(texts))
        yield "answer", {"thread": thread, "turn": shown_turn(body.domain, turn, None)}


def _stored_turn(conversations: Conversations, thread: str, question: str, answer: str) -> dict[str, Any]:
    """The last turn with this question and answer: others of the conversation may have been stored since.

    Raises:
        RequestError: if the conversation was deleted meanwhile.
    """
    with own_thread(thread) as stored:
        turns = conversations.transcript(stored)["turns"]
    for turn in reversed(turns):
        if (turn["question"], turn["answer"]) == (question, answer):
            return dict(turn)
    raise RequestError(
        "The answer is no longer stored: its conversation was deleted meanwhile. Next: ask again.", status=404
    )


def _encoded(event: Event) -> bytes:
    name, data = event
    # In ASCII: a lone surrogate of a document does not end the stream.
    return format_sse_event(event=name, data_str=dump_json(data))


def _error_data(error: Exception) -> dict[str, Any]:
    known = error if isinstance(error, (RequestError, *KNOWN)) else known_error(error)
    if known is None:
        _log.error("a stream failed", exc_info=error)
        return error_object("Internal error. The log of the server has more.", 500)
    refused = known if isinstance(known, RequestError) else as_request_error(known)
    return {**error_object(refused.message, refused.status), "status": refused.status}
