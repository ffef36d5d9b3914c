"""Tool calls in what a model says, found while it speaks."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from uuid import uuid4

from langchain_core.messages import InvalidToolCall, ToolCall
from langchain_core.messages.tool import ToolCallChunk, invalid_tool_call, tool_call, tool_call_chunk

OPENING, CLOSING = "<tool_call>", "</tool_call>"


@dataclass(frozen=True, slots=True)
class Call:
    """One call as it was said.

    Attributes:
        name: the tool; None where it cannot be told.
        arguments: JSON of an object; of a call that is none, what was said, which is no JSON.
        problem: why it is no call; empty where it is one.
        id: made up here, since a backbone gives none.
    """

    name: str | None
    arguments: str
    problem: str = ""
    id: str = field(default_factory=lambda: f"call_{uuid4().hex}")

    def valid(self) -> ToolCall:
        """As a message keeps it."""
        return tool_call(name=self.name or "", args=json.loads(self.arguments), id=self.id)

    def invalid(self) -> InvalidToolCall:
        """As a message keeps one that is none."""
        return invalid_tool_call(name=self.name, args=self.arguments, id=self.id, error=self.problem)

    def chunk(self, index: int) -> ToolCallChunk:
        """As a stream gives it, whole: half a call that is filled up to a whole one would be another call."""
        return tool_call_chunk(name=self.name, args=self.arguments, id=self.id, index=index)


class CallReader:
    """Takes a reply apart into text and calls.

    A call stands between `<tool_call>` and `</tool_call>`, or the reply is the JSON of calls alone. Text goes on as it
    comes; where a call may have begun, what follows is held back until it is certain.
    """

    def __init__(self, names: Collection[str]) -> None:
        self._names = names
        self._held = ""
        self._inside = False
        self._said = False
        self._called = False

    def take(self, text: str) -> Iterator[str | Call]:
        """What has become certain with more of the reply."""
        self._held += text
        while True:
            if self._inside:
                body, closed, rest = self._held.partition(CLOSING)
                if not closed:
                    return
                self._held, self._inside, self._called = rest, False, True
                yield from _calls(body)
                continue
            before, opened, rest = self._held.partition(OPENING)
            if opened:
                self._held, self._inside = rest, True
                if before.strip():
                    self._said = True
                    yield before.rstrip()
                continue
            if not self._said and self._held.lstrip()[:1] in ("{", "["):
                return
            # White space before a call is no part of the text.
            sure = len(self._held[: len(self._held) - _beginning(self._held)].rstrip())
            if sure > 0:
                said, self._held = self._held[:sure], self._held[sure:]
                self._said = True
                yield said
            return

    def finish(self, *, cut: bool) -> Iterator[str | Call]:
        """What is left at the end of the reply; `cut` says that it was ended by `max_tokens`."""
        held, self._held = self._held, ""
        if self._inside:
            yield from _calls(held, "it was cut at max_tokens" if cut else "it has no end")
        elif found := self._alone(held):
            yield from found
        elif held.strip() or (held and self._said and not self._called):
            yield held

    def _alone(self, text: str) -> list[Call]:
        """Calls of a reply that is JSON and nothing else; none where it is JSON for another purpose."""
        if self._said or text.lstrip()[:1] not in ("{", "["):
            return []
        found = list(_calls(text))
        return found if all(not call.problem and call.name in self._names for call in found) else []


def _calls(body: str, unfinished: str = "it is no JSON") -> Iterator[Call]:
    try:
        value = json.loads(body)
    except (json.JSONDecodeError, RecursionError):
        yield _no_call(body, unfinished)
        return
    for entry in value if isinstance(value, list) else [value]:
        name = entry.get("name") if isinstance(entry, dict) else None
        arguments = entry.get("arguments", entry.get("parameters", {})) if isinstance(entry, dict) else None
        if not isinstance(name, str) or not name:
            yield _no_call(json.dumps(entry, ensure_ascii=False), "it names no tool")
        elif not isinstance(arguments, dict):
            yield _no_call(json.dumps(entry, ensure_ascii=False), "its arguments are no JSON object", name)
        else:
            yield Call(name, json.dumps(arguments, ensure_ascii=False))


def _no_call(body: str, problem: str, name: str | None = None) -> Call:
    # With the tag before it, nobody takes what was said for the arguments.
    return Call(name, OPENING + body, f"The model wrote a tool call that cannot be used: {problem}.")


def _beginning(text: str) -> int:
    """Length of the longest end of the text that begins a call."""
    return next((size for size in range(len(OPENING) - 1, 0, -1) if text.endswith(OPENING[:size])), 0)
