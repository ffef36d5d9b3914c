"""Parse the tool calls in a reply while it is generated."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from uuid import uuid4

from langchain_core.messages import InvalidToolCall, ToolCall
from langchain_core.messages.tool import ToolCallChunk, invalid_tool_call, tool_call, tool_call_chunk

from retrieval.markup import whole_characters

OPENING, CLOSING = "<tool_call>", "</tool_call>"


@dataclass(frozen=True, slots=True)
class ParsedCall:
    """One tool call of a reply.

    Attributes:
        name: None if it is missing.
        arguments: a JSON object; of an invalid call, the raw text, which is not JSON.
        problem: why the call is invalid; empty if it is valid.
        id: generated, since a backbone provides none.
    """

    name: str | None
    arguments: str
    problem: str = ""
    id: str = field(default_factory=lambda: f"call_{uuid4().hex}")

    def to_tool_call(self) -> ToolCall:
        return tool_call(name=self.name or "", args=json.loads(self.arguments), id=self.id)

    def to_invalid_tool_call(self) -> InvalidToolCall:
        return invalid_tool_call(name=self.name, args=self.arguments, id=self.id, error=self.problem)

    def to_chunk(self, index: int) -> ToolCallChunk:
        """The whole call as one chunk: LangChain would complete a partial call to a different valid one."""
        return tool_call_chunk(name=self.name, args=self.arguments, id=self.id, index=index)


class ToolCallParser:
    """Splits a streamed reply into text and tool calls.

    A call is enclosed in `<tool_call>` and `</tool_call>`, or the whole reply is the JSON of calls. Text is passed on
    at once; if a call may have started, the text from there is held back until that is certain.
    """

    def __init__(self, tools: Collection[str]) -> None:
        self._tools = tools
        self._held = ""
        self._in_call = False
        self._has_text = False
        self._has_call = False

    def feed(self, text: str) -> Iterator[str | ParsedCall]:
        """Add text of the reply; yields the text and calls that are certain now."""
        self._held += text
        while True:
            if self._in_call:
                body, closed, rest = self._held.partition(CLOSING)
                if not closed:
                    return
                self._held, self._in_call, self._has_call = rest, False, True
                yield from _parse_calls(body)
                continue
            before, opened, rest = self._held.partition(OPENING)
            if opened:
                self._held, self._in_call = rest, True
                if before.strip():
                    self._has_text = True
                    yield before.rstrip()
                continue
            if not self._has_text and self._held.lstrip()[:1] in ("{", "["):
                return
            # White space before a call is not part of the text.
            certain = len(self._held[: len(self._held) - _partial_tag_length(self._held)].rstrip())
            if certain > 0:
                ready, self._held = self._held[:certain], self._held[certain:]
                self._has_text = True
                yield ready
            return

    def finish(self, *, cut: bool) -> Iterator[str | ParsedCall]:
        """The rest at the end of the reply; `cut` says whether it ended at `max_tokens`."""
        held, self._held = self._held, ""
        if self._in_call:
            yield from _parse_calls(held, "it was cut at max_tokens" if cut else "it has no end")
        elif calls := self._bare_calls(held):
            yield from calls
        elif held.strip() or (held and self._has_text and not self._has_call):
            yield held

    def _bare_calls(self, text: str) -> list[ParsedCall]:
        """Calls of a reply that is only JSON; empty if the JSON is not calls of known tools."""
        if self._has_text or text.lstrip()[:1] not in ("{", "["):
            return []
        calls = list(_parse_calls(text))
        return calls if all(not call.problem and call.name in self._tools for call in calls) else []


def _parse_calls(body: str, problem: str = "it is not JSON") -> Iterator[ParsedCall]:
    try:
        value = json.loads(body, parse_constant=_refuse_constant)
    # A ValueError also for a number of too many digits.
    except (ValueError, RecursionError):
        yield _invalid_call(body, problem)
        return
    for entry in value if isinstance(value, list) else [value]:
        name = entry.get("name") if isinstance(entry, dict) else None
        arguments = entry.get("arguments", entry.get("parameters", {})) if isinstance(entry, dict) else None
        if not isinstance(name, str) or not name:
            yield _invalid_call(_as_json(entry), "it names no tool")
        elif not isinstance(arguments, dict):
            yield _invalid_call(_as_json(entry), "its arguments are not a JSON object", whole_characters(name))
        else:
            yield ParsedCall(whole_characters(name), _as_json(arguments))


def _refuse_constant(name: str) -> None:
    """NaN and Infinity are JSON to Python alone."""
    raise ValueError(name)


def _as_json(value: object) -> str:
    # The escape of half a character stands for none.
    return whole_characters(json.dumps(value, ensure_ascii=False))


def _invalid_call(body: str, problem: str, name: str | None = None) -> ParsedCall:
    # The tag keeps the raw text from being read as arguments.
    return ParsedCall(name, OPENING + body, f"The model wrote a tool call that cannot be used: {problem}.")


def _partial_tag_length(text: str) -> int:
    """Length of the longest end of the text that is the start of an opening tag."""
    return next((size for size in range(len(OPENING) - 1, 0, -1) if text.endswith(OPENING[:size])), 0)
