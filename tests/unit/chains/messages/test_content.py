"""Between segments and LangChain messages: nothing is lost, and nobody forges a slot."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.load import dumpd, load
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    HumanMessageChunk,
    SystemMessage,
    ToolMessage,
)
from langgraph.graph import add_messages

from chains import InputError
from chains.messages.content import from_messages, plain_text, soft_block, to_messages, to_text_messages
from prompts import Message, PassageSegment, RenderedPrompt, SoftSegment, TextSegment

TEXT = st.text(min_size=1, max_size=20)
SEGMENT = st.one_of(
    st.builds(TextSegment, TEXT), st.builds(SoftSegment, st.just("domain")), st.builds(PassageSegment, TEXT, TEXT)
)
PROMPT = st.lists(
    st.builds(
        Message, st.sampled_from(("system", "user", "assistant")), st.lists(SEGMENT, min_size=1, max_size=4).map(tuple)
    ),
    min_size=1,
    max_size=4,
).map(lambda messages: RenderedPrompt(tuple(messages)))


@given(PROMPT)
def test_a_prompt_round_trips_through_messages(prompt: RenderedPrompt) -> None:
    assert from_messages(to_messages(prompt)) == prompt


@pytest.mark.filterwarnings("ignore:The function `load` is in beta")
@given(PROMPT)
def test_a_prompt_survives_what_langchain_does_with_messages(prompt: RenderedPrompt) -> None:
    messages = to_messages(prompt)
    stored = [load(dumpd(message), allowed_objects="messages") for message in messages]
    assert from_messages(stored) == prompt
    assert from_messages(add_messages([], messages)) == prompt  # type: ignore[arg-type]


def test_every_segment_is_a_block_of_its_own() -> None:
    prompt = RenderedPrompt(
        (Message("system", (TextSegment("a"), TextSegment("b"), PassageSegment("c", "7"), SoftSegment("domain"))),)
    )
    assert to_messages(prompt)[0].content == [
        {"type": "text", "text": "a"},
        {"type": "text", "text": "b"},
        {"type": "text", "text": "c", "extras": {"passage_id": "7"}},
        {"type": "non_standard", "value": {"type": "soft_prompt", "slot": "domain"}},
    ]


def test_plain_messages_are_taken() -> None:
    found = from_messages([SystemMessage("be kind"), HumanMessage("hello {domain}"), AIMessage("")])
    assert found.messages == (
        Message("system", (TextSegment("be kind"),)),
        Message("user", (TextSegment("hello {domain}"),)),
        Message("assistant", ()),
    )


@pytest.mark.parametrize(
    "message",
    [
        ChatMessage("result", role="critic"),
        ToolMessage([{"type": "image", "url": "https://example.org/a.png"}], tool_call_id="1"),
        HumanMessage([{"type": "image", "url": "https://example.org/a.png"}]),
        HumanMessage([{"type": "non_standard", "value": {"type": "thinking"}}]),
        HumanMessage([{"type": "text"}]),
    ],
)
def test_what_the_backbone_cannot_read_is_refused(message: BaseMessage) -> None:
    with pytest.raises(InputError, match="leave such"):
        from_messages([message])


def test_a_model_that_takes_text_gets_strings_and_never_a_slot() -> None:
    prompt = RenderedPrompt((Message("system", (PassageSegment("p ", "1"), SoftSegment("domain"), TextSegment("."))),))
    with pytest.raises(InputError, match="soft slots domain"):
        to_text_messages(prompt)
    filled = prompt.fill(lambda slot: f"<{slot}>")
    assert [message.content for message in to_text_messages(filled)] == ["p <domain>."]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("{domain} <|im_end|>", "{domain} <|im_end|>"),
        (["a", {"type": "text", "text": "b"}], "ab"),
        ([soft_block("domain"), "a"], "a"),
        (HumanMessage([soft_block("domain"), {"type": "text", "text": "a", "extras": {"passage_id": "1"}}]), "a"),
        ([{"type": "text", "text": soft_block("domain")}, {"type": "text", "text": ["x"]}], ""),
        ([{"type": "text", "text": "a", "value": {"type": "soft_prompt", "slot": "domain"}}], "a"),
        ([], ""),
    ],
)
def test_only_text_is_read_from_external_input(content: Any, text: str) -> None:
    assert plain_text(content) == text


@pytest.mark.parametrize("content", [None, 7, {"type": "text", "text": "a"}, b"a"])
def test_what_is_no_text_is_refused(content: Any) -> None:
    with pytest.raises(InputError, match="Expected: a string"):
        plain_text(content)


def test_half_a_character_is_replaced_in_every_message() -> None:
    blocks: list[str | dict[str, Any]] = ["b\ud800", {"type": "text", "text": "c\udfff"}]
    rendered = from_messages([SystemMessage("a\ud800"), HumanMessage(content=blocks)])
    assert [message.text for message in rendered.messages] == ["a\ufffd", "b\ufffdc\ufffd"]


def test_chunks_are_messages_of_their_kind() -> None:
    rendered = from_messages([HumanMessageChunk(content="Free?"), AIMessageChunk(content="Yes.")])
    assert [(message.role, message.text) for message in rendered.messages] == [("user", "Free?"), ("assistant", "Yes.")]
