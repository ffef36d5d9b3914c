"""A rendered prompt in stretches of tokens, as a backbone reads it: control text, text, passages and soft slots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from prompts import PassageSegment, RenderedPrompt, SoftSegment
from soft_prompt.chat_tokens import ChatTokens


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a prompt that is tokenised alone.

    Attributes:
        kind: `control` is what the backbone's chat template writes around the messages.
        role: of the message that it stands in; of control text, of the message that it opens; empty for what opens
            the answer, and in a prompt with tools, whose messages the chat template takes apart.
        text: what stands there; of a soft slot, its name.
        ids: its token ids; of a soft slot none, since what fills it is not known here.
    """

    kind: Literal["control", "text", "passage", "slot"]
    role: str
    text: str
    ids: tuple[int, ...]


def lay_out(tokens: ChatTokens, prompt: RenderedPrompt) -> list[Stretch]:
    """Tokenise a rendered prompt.

    Text and passages are data: control tokens written out in them stay text.

    Raises:
        BackboneError: the chat template does not take these messages, or has no place for the prompt's tools.
    """
    if prompt.tools or any(message.calls or message.role == "tool" for message in prompt.messages):
        controls, pieces = tokens.tool_layout(prompt)
        # Where a chat template puts tools, calls and results is not a message of the prompt.
        parts = [("", segments) for segments in pieces]
    else:
        controls = tokens.chat_controls(tuple(message.role for message in prompt.messages))
        parts = [(message.role, message.segments) for message in prompt.messages]
    laid: list[Stretch] = []

    def control(text: str, role: str) -> None:
        laid.append(Stretch("control", role, text, tuple(tokens.encode_control(text))))

    for text, (role, segments) in zip(controls, parts, strict=False):
        control(text, role)
        for segment in segments:
            if isinstance(segment, SoftSegment):
                laid.append(Stretch("slot", role, segment.slot, ()))
            else:
                kind: Literal["text", "passage"] = "passage" if isinstance(segment, PassageSegment) else "text"
                laid.append(Stretch(kind, role, segment.text, tuple(tokens.encode_text(segment.text))))
    # The control text between contents and the one that opens the answer always follow the last message.
    control(controls[-1], "")
    return laid
