"""POST /api/ask: one question, its answer as server-sent events."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import Receive, Scope, Send

from chains import Conversations
from soft_prompt.json_text import dump_json
from softgraft.errors import KNOWN
from softgraft.failures import known_error
from softgraft.server.callers import stored_thread
from softgraft.server.edge import DOMAIN
from softgraft.server.errors import RequestError, as_request_error, error_object
from softgraft.server.limits import Limits, Ticket
from softgraft.server.relay import CallerLeftError, Relay, unless_caller_leaves
from softgraft.server.served import ServedDomains
from softgraft.server.web.turns import shown_turn

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


def add_ask_route(router: APIRouter, served: ServedDomains) -> None:
    """Add the route, whose questions take the same places as those of the OpenAI interface."""

    @router.post("/api/ask")
    async def ask(request: Request, body: AskBody) -> Response:
        """Events: `start`, `query`, any number of `text`, then `answer` or `error`.

        An error before the first event is a response of its own, with its status. If the caller leaves, decoding
        stops, and nothing is stored.
        """
        limits: Limits = request.app.state.limits
        request.scope[DOMAIN] = body.domain
        ticket = limits.admit(stream=True)
        relay = Relay(ticket, lambda: _events(served, body))
        deadline = asyncio.get_running_loop().time() + limits.first_token_seconds
        handed_over = False
        try:
            first = await unless_caller_leaves(request, asyncio.wait_for(relay.next(), limits.first_token_seconds))
            handed_over = True
            return AnswerResponse(first, relay, ticket, limits, deadline)
        except TimeoutError:
            raise limits.too_late() from None
        except CallerLeftError:
            return Response(status_code=499)
        finally:
            if not handed_over:
                relay.stop()
                ticket.close()


class AnswerResponse(StreamingResponse):
    """The events of one answer. However the response ends, the answer stops and its place is free.

    `deadline` is the time of the event loop at which the first text must have come.
    """

    def __init__(self, first: Event, relay: Relay[Event], ticket: Ticket, limits: Limits, deadline: float) -> None:
        # A proxy must not collect the events.
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(self._text(first), media_type="text/event-stream", headers=headers)
        self._relay = relay
        self._ticket = ticket
        self._limits = limits
        self._deadline = deadline

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        watching = asyncio.create_task(self._stop_when_caller_leaves(receive))
        try:
            await super().__call__(scope, receive, send)
        finally:
            watching.cancel()
            self._relay.stop()
            self._ticket.close()

    async def _stop_when_caller_leaves(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._relay.stop()

    async def _text(self, first: Event) -> AsyncIterator[bytes]:
        yield _encoded(first)
        waiting = asyncio.ensure_future(self._relay.next())
        has_begun = False
        try:
            while True:
                left = self._deadline - asyncio.get_running_loop().time()
                done, _ = await asyncio.wait(
                    {waiting}, timeout=_PING_SECONDS if has_begun else min(left, _PING_SECONDS)
                )
                if done:
                    event = waiting.result()
                    has_begun = has_begun or event[0] in ("text", "answer")
                    waiting = asyncio.ensure_future(self._relay.next())
                    yield _encoded(event)
                elif has_begun or left > _PING_SECONDS:
                    yield KEEPALIVE_COMMENT
                else:
                    raise self._limits.too_late()
        except StopAsyncIteration:
            return
        except Exception as error:  # noqa: BLE001 the status has been sent, so the error is an event
            yield _encoded(("error", _error_data(error)))
        finally:
            waiting.cancel()


async def _events(served: ServedDomains, body: AskBody) -> AsyncGenerator[Event]:
    thread = body.thread or secrets.token_urlsafe(_ID_BYTES)
    stored = stored_thread(thread)
    config: Any = {"configurable": {"thread_id": stored}}
    async with served.aopen(body.domain) as domain:
        parts: Any = domain.chain.astream({"question": body.question}, config=config)
        async with aclosing(parts):
            async for part in parts:
                if "question" in part:
                    yield "start", {"thread": thread, "question": part["question"], "notices": part["notices"]}
                elif "query" in part:
                    yield "query", {"query": part["query"]}
                elif isinstance(part.get("answer"), str) and "citations" not in part:
                    yield "text", {"text": part["answer"]}
        # The turn is stored before the last part of the stream is sent.
        turn = await asyncio.to_thread(_last_turn, domain.chain.conversations, stored)
        yield "answer", {"thread": thread, "turn": shown_turn(body.domain, turn, None)}


def _last_turn(conversations: Conversations, thread_id: str) -> dict[str, Any]:
    turn: dict[str, Any] = conversations.transcript(thread_id)["turns"][-1]
    return turn


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
