"""Tool calls in a reply are found however the text is split, and never in part."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.chat.tool_calls import ParsedCall, ToolCallParser

FEE = '{"name": "fee", "arguments": {"card": "debit"}}'
TAGGED = f"<tool_call>\n{FEE}\n</tool_call>"


def read(text: str, cuts: list[int] | None = None, *, cut: bool = False) -> tuple[str, list[ParsedCall]]:
    """The text and the calls of a reply that comes in pieces; every character alone where no cuts are given."""
    places = sorted({0, len(text), *(range(len(text)) if cuts is None else cuts)})
    parser = ToolCallParser({"fee", "open"})
    found: list[Any] = []
    for start, end in pairwise(places):
        found += parser.feed(text[start:end])
    found += parser.finish(cut=cut)
    return "".join(p for p in found if isinstance(p, str)), [p for p in found if isinstance(p, ParsedCall)]


def valid(calls: list[ParsedCall]) -> list[tuple[str | None, Any]]:
    assert not any(call.problem for call in calls)
    return [(call.name, json.loads(call.arguments)) for call in calls]


@pytest.mark.parametrize(
    ("said", "text", "calls"),
    [
        ("Plain words, a < b.", "Plain words, a < b.", []),
        (TAGGED, "", [("fee", {"card": "debit"})]),
        (f"I look it up.\n{TAGGED}\n", "I look it up.", [("fee", {"card": "debit"})]),
        (f"{TAGGED}\n{TAGGED}", "", [("fee", {"card": "debit"})] * 2),
        (f"<tool_call>[{FEE}, {FEE}]</tool_call>", "", [("fee", {"card": "debit"})] * 2),
        (f" {FEE}\n", "", [("fee", {"card": "debit"})]),
        (f"[{FEE}]", "", [("fee", {"card": "debit"})]),
        ('{"name": "fee", "parameters": {"n": 1}}', "", [("fee", {"n": 1})]),
        ('{"name": "open"}', "", [("open", {})]),
        (f"<tool_call>{FEE}", "", [("fee", {"card": "debit"})]),
        ('<tool_call>{"name": "其他", "arguments": {"名": "李"}}</tool_call>', "", [("其他", {"名": "李"})]),
        # JSON for another purpose, or in the middle of a text, is text.
        ('{"name": "Ann", "arguments": {}}', '{"name": "Ann", "arguments": {}}', []),
        ('{"fee": 3}', '{"fee": 3}', []),
        ("[1, 2]", "[1, 2]", []),
        ("{half", "{half", []),
        (f"So: {FEE}", f"So: {FEE}", []),
        ("a <tool_cal", "a <tool_cal", []),
        ("", "", []),
    ],
)
def test_text_and_calls_are_separated(said: str, text: str, calls: list[Any]) -> None:
    for cuts in (None, []):
        found = read(said, cuts)
        assert (found[0], valid(found[1])) == (text, calls)


@given(st.lists(st.integers(0, 200)))
def test_pieces_do_not_matter(cuts: list[int]) -> None:
    said = f"First, a look:\n\n{TAGGED}\nand <b>then</b> {TAGGED} done."
    text, calls = read(said, [cut for cut in cuts if cut < len(said)])
    assert text == "First, a look:\nand <b>then</b> done."
    assert len(valid(calls)) == 2


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ('<tool_call>{"name": "fee", "arguments": {"card"', "max_tokens"),
        ("<tool_call>{nonsense}</tool_call>", "not JSON"),
        ('<tool_call>{"arguments": {}}</tool_call>', "names no tool"),
        ("<tool_call>7</tool_call>", "names no tool"),
        ('<tool_call>{"name": "fee", "arguments": "all"}</tool_call>', "not a JSON object"),
        ("<tool_call>" + "[" * 100_000 + "</tool_call>", "not JSON"),
        # Python reads both, but no other program does.
        ('<tool_call>{"name": "fee", "arguments": {"n": NaN}}</tool_call>', "not JSON"),
        ('<tool_call>{"name": "fee", "arguments": {"n": ' + "1" * 5000 + "}}</tool_call>", "not JSON"),
    ],
)
def test_an_invalid_call_has_a_problem_and_is_not_valid_json(said: str, problem: str) -> None:
    from langchain_core.messages import AIMessageChunk

    text, [call] = read(said, [], cut=True)
    assert text == ""
    assert problem in call.problem
    assert call.to_invalid_tool_call()["error"] == call.problem
    chunk = AIMessageChunk("", tool_call_chunks=[call.to_chunk(0)])
    assert chunk.tool_calls == []
    assert len(chunk.invalid_tool_calls) == 1


@pytest.mark.parametrize("escaped", ["\\ud83d", "\\ude00 then \\ud83d"])
def test_half_a_character_in_a_call_becomes_one_that_can_be_sent(escaped: str) -> None:
    _, calls = read(f'<tool_call>{{"name": "fee{escaped}", "arguments": {{"card": "{escaped}"}}}}</tool_call>', [])
    [(name, arguments)] = valid(calls)
    assert (name or "").encode().decode() == "fee" + arguments["card"]
    assert "\ufffd" in arguments["card"]
    _, [wrong] = read(f'<tool_call>{{"name": "fee", "arguments": "{escaped}"}}</tool_call>', [])
    assert "\ufffd" in wrong.arguments.encode().decode()


def test_text_is_not_held_back_longer_than_it_must_be() -> None:
    parser = ToolCallParser({"fee"})
    assert list(parser.feed("The fee ")) == ["The fee"]
    assert list(parser.feed("is 3 <")) == [" is 3"]
    assert list(parser.feed("b>")) == [" <b>"]
    assert list(parser.feed(" \n")) == []
    assert list(parser.finish(cut=False)) == [" \n"]
