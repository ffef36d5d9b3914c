"""Answer one chat request with the chain of its domain, or with its chat model if the request has tools."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, cast

from chains.integrations.tool_reply import reply_with_tools
from chains.speakers.requested import RequestSettings, TokenUsage, requested_speaker
from softgraft.domain import Domain
from softgraft.server.callers import stored_thread
from softgraft.server.errors import RequestError
from softgraft.server.protocol.completions import Finished
from softgraft.server.protocol.requests import AssistantMessage, ChatRequest, SystemMessage, ToolMessage, UserMessage
from softgraft.server.served import ServedDomains

_THREAD = "thread_id"
_MAX_THREAD = 256


@dataclass(frozen=True)
class Question:
    """What a chat request asks, checked.

    Attributes:
        history: the messages before the question; not used with a thread, whose turns are stored.
        thread: id of the conversation, as the caller knows it.
    """

    asked: ChatRequest
    domain: str
    text: str
    history: list[dict[str, str]]
    thread: str | None
    settings: RequestSettings

    @property
    def has_tools(self) -> bool:
        return bool(self.asked.tools) and self.asked.tool_choice != "none"


def read_question(asked: ChatRequest, domain: str, answer_tokens: int) -> Question:
    """Read a request; `answer_tokens` is the maximum of `max_tokens`.

    Raises:
        RequestError: if its parameters do not fit together, or beyond the server's limits.
    """
    system = [message.content for message in asked.messages if isinstance(message, SystemMessage)]
    others = [message for message in asked.messages if not isinstance(message, SystemMessage)]
    last = others[-1] if others else None
    has_tools = bool(asked.tools) and asked.tool_choice != "none"
    if not (isinstance(last, UserMessage) or (has_tools and isinstance(last, ToolMessage))):
        raise RequestError(
            "The last message is not a question. Expected: a message with the role `user` at the end.", param="messages"
        )
    text = last.content if isinstance(last, UserMessage) else ""
    if isinstance(last, UserMessage) and not text.strip():
        raise RequestError("The question is empty. Expected: a question in words.", param="messages")
    thread = (asked.metadata or {}).get(_THREAD)
    if thread is not None and not 0 < len(thread) <= _MAX_THREAD:
        raise RequestError(
            f"The thread id has {len(thread)} characters. Expected: 1 to {_MAX_THREAD}.", param=f"metadata.{_THREAD}"
        )
    if thread is not None and has_tools:
        raise RequestError(
            "A thread together with tools. Expected: one of them, because conversations store no tool calls. "
            "Next: send the conversation in `messages`.",
            param=f"metadata.{_THREAD}",
        )
    return Question(
        asked, domain, text, [] if has_tools else _history(asked), thread, _settings(asked, system, answer_tokens)
    )


async def answer_pieces(served: ServedDomains, question: Question) -> AsyncGenerator[str | Finished]:
    """The pieces of an answer, then its end. Closing the generator stops the model, and no turn is stored."""
    async with served.aopen(question.domain) as domain:
        answer = _with_tools(domain, question) if question.has_tools else _from_chain(domain, question)
        async with aclosing(answer) as pieces:
            async for piece in pieces:
                yield piece


async def _from_chain(domain: Domain, question: Question) -> AsyncGenerator[str | Finished]:
    usage, settings, answering = TokenUsage(), question.settings, domain.chain.answering
    speaker = requested_speaker(answering.speaker, settings, usage, domain.file.backbone)
    answering = replace(answering, speaker=speaker)
    if settings.response_format is not None:
        # JSON is the model's own text, and no sentence of it can be replaced by a quote.
        form = replace(answering.settings, form="generate", unsupported="keep")
        answering = replace(answering, settings=form)
    chain = domain.chain.with_answering(answering)
    given: dict[str, Any] = {"question": question.text}
    config: dict[str, Any] = {}
    if question.thread is None:
        given["history"] = question.history
    else:
        config = {"configurable": {_THREAD: stored_thread(question.thread)}}
    result: dict[str, Any] = {"notices": []}
    async with aclosing(cast(Any, chain.astream(given, cast(Any, config)))) as parts:
        async for part in parts:
            if text := part.get("answer"):
                yield text
            result["notices"] += part.get("notices", [])
            result |= {name: value for name, value in part.items() if name not in ("answer", "notices")}
    yield Finished(result, usage)


async def _with_tools(domain: Domain, question: Question) -> AsyncGenerator[str | Finished]:
    asked, usage = question.asked, TokenUsage()
    choice = (
        asked.tool_choice
        if isinstance(asked.tool_choice, str) or asked.tool_choice is None
        else (asked.tool_choice.model_dump())
    )
    call = {"tool_choice": choice, "parallel_tool_calls": asked.parallel_tool_calls}
    reply = await reply_with_tools(
        domain.chain.answering,
        domain.chat_model,
        [_as_openai(message) for message in asked.messages if not isinstance(message, SystemMessage)],
        [tool.model_dump(exclude_none=True) for tool in asked.tools or ()],
        {name: value for name, value in call.items() if value is not None},
        question.settings,
        usage,
    )
    if reply.text:
        yield reply.text
    calls = [{"id": c["id"], "name": c["name"], "arguments": json.dumps(c["args"])} for c in reply.calls]
    result = dict(reply.state)
    notices = [f"the model wrote a tool call that cannot be used: {text}" for text in reply.invalid_calls]
    yield Finished({**result, "notices": [*domain.notices(), *notices], "supported": None}, usage, calls)


def _settings(asked: ChatRequest, system: list[str], answer_tokens: int) -> RequestSettings:
    max_tokens = asked.max_completion_tokens or asked.max_tokens
    if max_tokens is not None and max_tokens > answer_tokens:
        raise RequestError(
            f"{max_tokens} tokens are more than this server gives. Expected: at most {answer_tokens}.",
            param="max_completion_tokens" if asked.max_completion_tokens else "max_tokens",
        )
    stop = [asked.stop] if isinstance(asked.stop, str) else asked.stop
    decoding = {
        "temperature": asked.temperature,
        "top_p": asked.top_p,
        "max_tokens": max_tokens,
        "seed": asked.seed,
        "stop": tuple(stop) if stop else None,
    }
    return RequestSettings(
        decoding={name: value for name, value in decoding.items() if value is not None},
        response_format=asked.response_format.as_openai() if asked.response_format is not None else None,
        system="\n\n".join(text for text in system if text.strip()),
        most_tokens=answer_tokens,
    )


def _history(asked: ChatRequest) -> list[dict[str, str]]:
    """The messages before the question, for the chain."""
    turns = []
    messages = [(n, message) for n, message in enumerate(asked.messages) if not isinstance(message, SystemMessage)]
    for number, message in messages[:-1]:
        if isinstance(message, ToolMessage) or (isinstance(message, AssistantMessage) and message.tool_calls):
            raise RequestError(
                "A tool's call or result in a request without tools. Expected: `tools`, or messages without them.",
                param=f"messages[{number}]",
            )
        turns.append({"role": message.role, "content": message.content or ""})
    return turns


def _as_openai(message: UserMessage | AssistantMessage | ToolMessage) -> dict[str, Any]:
    data = message.model_dump(exclude_none=True)
    if isinstance(message, AssistantMessage):
        data["content"] = message.content or ""
    return data
