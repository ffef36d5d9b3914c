"""Answers as OpenAI's objects: one completion, or the chunks of a stream."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any

from chains.speakers.requested import TokenUsage
from soft_prompt.json_text import dump_json
from softgraft.server.links import document_url

# Fields of the chain's result that a completion, or the last chunk of a stream, has under `softgraft`.
_ABOUT = ("query", "evidence_score", "form", "refused", "supported", "notices")


@dataclass
class Finished:
    """The end of an answer.

    Attributes:
        result: what the chain's result has besides the answer.
        calls: calls of tools, each with `id`, `name` and `arguments` (JSON).
    """

    result: dict[str, Any]
    usage: TokenUsage
    calls: list[dict[str, str]] = field(default_factory=list)

    @property
    def finish_reason(self) -> str:
        return "tool_calls" if self.calls else self.usage.finish


@dataclass(frozen=True)
class Completion:
    """Makes the objects of one answer.

    Attributes:
        model: as it was asked for.
        base: address of this server, for the links to documents.
        thread: id of the conversation, as the caller knows it.
    """

    model: str
    domain: str
    base: str
    thread: str | None = None
    id: str = field(default_factory=lambda: f"chatcmpl-{token_hex(12)}")
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, text: str, end: Finished) -> dict[str, Any]:
        """The object `chat.completion`."""
        message: dict[str, Any] = {
            "role": "assistant",
            "content": text if text or not end.calls else None,
            "refusal": text if end.result.get("refused") else None,
            "annotations": self._annotations(end),
        }
        if end.calls:
            message["tool_calls"] = _tool_calls(end.calls)
        choice = {"index": 0, "message": message, "finish_reason": end.finish_reason, "logprobs": None}
        about = self._about(end)
        return {**self._head("chat.completion"), "choices": [choice], "usage": usage_object(end.usage), **about}

    def first(self) -> bytes:
        """The event that begins a stream."""
        return self._event({"role": "assistant", "content": ""})

    def piece(self, text: str) -> bytes:
        """The event for a piece of the answer."""
        return self._event({"content": text})

    def last(self, text: str, end: Finished) -> bytes:
        """The event with the last delta; `text` is the whole answer."""
        delta: dict[str, Any] = {"annotations": self._annotations(end)}
        if end.result.get("refused"):
            delta["refusal"] = text
        if end.calls:
            calls = _tool_calls(end.calls)
            delta["tool_calls"] = [{"index": number, **call} for number, call in enumerate(calls)]
        return self._event(delta, end.finish_reason, self._about(end))

    def usage(self, end: Finished) -> bytes:
        """The event that `stream_options.include_usage` asks for."""
        return event({**self._head("chat.completion.chunk"), "choices": [], "usage": usage_object(end.usage)})

    def _event(
        self, delta: Mapping[str, Any], finish_reason: str | None = None, more: Mapping[str, Any] | None = None
    ) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
        return event({**self._head("chat.completion.chunk"), "choices": [choice], **(more or {})})

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}

    def _url(self, citation: Mapping[str, Any]) -> str:
        return document_url(self.base, self.domain, citation["doc_id"], citation["start"], citation["end"])

    def _annotations(self, end: Finished) -> list[dict[str, Any]]:
        return [
            {
                "type": "url_citation",
                "url_citation": {
                    "start_index": citation["answer_start"],
                    "end_index": citation["answer_end"],
                    "url": self._url(citation),
                    "title": citation["title"],
                },
            }
            for citation in end.result.get("citations", ())
        ]

    def _about(self, end: Finished) -> dict[str, Any]:
        citations = [{**citation, "url": self._url(citation)} for citation in end.result.get("citations", ())]
        about = {name: end.result[name] for name in _ABOUT if name in end.result}
        return {"citations": citations, "softgraft": {**about, "domain": self.domain, "thread_id": self.thread}}


DONE = b"data: [DONE]\n\n"


def event(data: Mapping[str, Any]) -> bytes:
    """A server-sent event with JSON, which has no line breaks."""
    return f"data: {dump_json(data)}\n\n".encode()


def usage_object(usage: TokenUsage) -> dict[str, Any]:
    """The tokens of an answer in OpenAI's format."""
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
    }


def _tool_calls(calls: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
    return [
        {
            "id": call["id"],
            "type": "function",
            "function": {"name": call["name"], "arguments": call["arguments"]},
        }
        for call in calls
    ]
