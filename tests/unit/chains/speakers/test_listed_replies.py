"""Replies with their most likely tokens: the tokens are those of the text, and survive a file."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from chains import RemoteModelError, RemoteSpeaker
from chains.speakers.listed_replies import ListedReply, listed_reply
from prompts import Message, RenderedPrompt, TextSegment
from tests.support.small_bank import ScriptedChat

PROMPT = RenderedPrompt((Message("user", (TextSegment("When?"),)),))


class ListingChat(ScriptedChat):
    """Lists the tokens of its reply, unless it `knows` no such setting."""

    tokens: list[str]
    knows: bool = True

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        if kwargs and not self.knows:
            raise TypeError("unexpected keyword argument 'logprobs'")
        listed = [{"token": one, "top_logprobs": [{"token": one, "logprob": -0.1}]} for one in self.tokens]
        metadata = {"logprobs": {"content": listed}} if kwargs else {}
        return ChatResult(
            generations=[ChatGeneration(message=AIMessage("".join(self.tokens), response_metadata=metadata))]
        )


def reply_of(*tokens: str, knows: bool = True) -> ListedReply:
    speaker = RemoteSpeaker(ListingChat(tokens=list(tokens), knows=knows), lambda slot: "")
    return listed_reply(speaker, speaker.prepare(PROMPT), 2)


@pytest.mark.parametrize("around", [([], []), (["\n"], []), ([], [" ", "\n"]), ([" ", "\n"], ["\n"])])
def test_tokens_of_space_around_the_text_are_left_out(around: tuple[list[str], list[str]]) -> None:
    before, after = around
    reply = reply_of(*before, "At", " nine", *after)
    assert (reply.text, reply.tokens) == ("At nine", (b"At", b" nine"))
    assert reply.rows == ({b"At": -0.1}, {b" nine": -0.1})
    assert ListedReply.from_json(reply.as_json()) == reply


def test_tokens_that_are_not_the_texts_are_dropped() -> None:
    assert reply_of(" At", " nine") == ListedReply("At nine")


def test_an_api_that_lists_none_is_asked_without() -> None:
    assert reply_of("At", " nine", knows=False) == ListedReply("At nine")


def test_a_failure_is_explained() -> None:
    class BrokenChat(ListingChat):
        def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
            raise ConnectionError("refused")

    speaker = RemoteSpeaker(BrokenChat(tokens=[]), lambda slot: "")
    with pytest.raises(RemoteModelError, match="cannot be reached"):
        listed_reply(speaker, speaker.prepare(PROMPT), 2)
