"""The ways to ask a speaker give the same words, whether it is a backbone or a model that takes text only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from house import ScriptedChat

from chains import LocalSpeaker, RemoteSpeaker, SoftPromptChat, Speaker
from prompts import Message, RenderedPrompt, SoftSegment, TextSegment

if TYPE_CHECKING:
    from soft_prompt import Backbone

TWIN = "You speak for a bank."
PROMPT = RenderedPrompt(
    (
        Message("system", (TextSegment("Answer from these passages. "), SoftSegment("domain"))),
        Message("user", (TextSegment("When does the branch open?"),)),
    )
)


@pytest.fixture(params=["local", "remote"])
def speaker(request: pytest.FixtureRequest, tiny_backbone: Backbone) -> Speaker:
    if request.param == "remote":
        return RemoteSpeaker(ScriptedChat(), lambda slot: TWIN)
    from soft_prompt import PrefixStore

    return LocalSpeaker(SoftPromptChat(store=PrefixStore(tiny_backbone), fills={"domain": TWIN}, max_tokens=8))


async def test_streams_and_batches_say_the_same(speaker: Speaker) -> None:
    said = "".join(speaker.stream(PROMPT))
    pieces = [piece async for piece in speaker.astream(PROMPT)]
    assert said
    assert len(pieces) > 1
    assert "".join(pieces) == said
    assert speaker.reply_many([PROMPT, PROMPT]) == [said, said]
