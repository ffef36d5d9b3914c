"""A speaker for one request honours its settings and counts its tokens, whichever way it is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk
from pydantic import Field

from chains import InputError, LocalSpeaker, RemoteSpeaker, SoftPromptChat, Speaker
from chains.answering.speaker import PreparedPrompt
from chains.speakers.requested import RequestSettings, TokenUsage, requested_speaker
from prompts import Message, RenderedPrompt, TextSegment
from tests.support.small_bank import ScriptedChat

if TYPE_CHECKING:
    from soft_prompt import Backbone

PROMPT = RenderedPrompt((Message("system", (TextSegment("Answer. "),)), Message("user", (TextSegment("When?"),))))
WORDS = {"max_tokens": 5, "stop": ("end",)}


class RecordingChat(ScriptedChat):
    """Records the settings of its calls, and reports the tokens of each."""

    calls: list[dict[str, Any]] = Field(default_factory=list)

    def _stream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        self.calls.append({"stop": stop, **kwargs})
        yield ChatGenerationChunk(message=AIMessageChunk(content="At 9:00."))
        used: Any = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
        yield ChatGenerationChunk(
            message=AIMessageChunk(content="", usage_metadata=used, response_metadata={"finish_reason": "length"})
        )


def streamed(speaker: Speaker, prompt: PreparedPrompt) -> str:
    return "".join(speaker.stream(prompt))


def in_a_batch(speaker: Speaker, prompt: PreparedPrompt) -> str:
    [reply] = speaker.reply_many([prompt])
    return reply


ASKED = pytest.mark.parametrize("ask", [streamed, in_a_batch])


@ASKED
def test_a_remote_model_gets_the_settings(ask: Callable[[Speaker, PreparedPrompt], str]) -> None:
    chat, usage = RecordingChat(), TokenUsage()
    settings = RequestSettings(WORDS, {"type": "json_object"}, system="Be brief.")
    speaker = requested_speaker(RemoteSpeaker(chat, lambda slot: ""), settings, usage, "openai:m")
    assert ask(speaker, speaker.prepare(PROMPT)) == "At 9:00."
    assert chat.calls == [{"stop": ["end"], "max_tokens": 5, "response_format": {"type": "json_object"}}]
    assert usage == TokenUsage(prompt=7, completion=3, finish="length")


async def test_a_remote_model_gets_them_in_an_async_stream() -> None:
    chat, usage = RecordingChat(), TokenUsage()
    speaker = requested_speaker(
        RemoteSpeaker(chat, lambda slot: ""), RequestSettings({"max_tokens": 5}), usage, "openai:m"
    )
    assert "".join([piece async for piece in speaker.astream(speaker.prepare(PROMPT))]) == "At 9:00."
    assert (chat.calls, usage.completion) == ([{"stop": None, "max_tokens": 5}], 3)


def test_settings_that_a_provider_may_ignore_are_refused() -> None:
    with pytest.raises(InputError, match="max_tokens, stop for the model 'ollama:m'"):
        requested_speaker(
            RemoteSpeaker(RecordingChat(), lambda slot: ""), RequestSettings(WORDS), TokenUsage(), "ollama:m"
        )


@pytest.mark.heavy
@ASKED
def test_a_backbone_gets_the_settings(ask: Callable[[Speaker, PreparedPrompt], str], tiny_backbone: Backbone) -> None:
    from soft_prompt import PrefixStore

    local = LocalSpeaker(SoftPromptChat(store=PrefixStore(tiny_backbone), max_tokens=8, call_tokens=60))
    schema = {"type": "object", "properties": {"yes": {"type": "boolean"}}, "required": ["yes"]}
    usage = TokenUsage()
    speaker = requested_speaker(
        local, RequestSettings(response_format={"type": "json_object", "schema": schema}), usage, "embedded"
    )
    assert ask(speaker, speaker.prepare(PROMPT)).startswith("{")
    assert usage.completion > 0
