"""A rendered prompt in stretches of tokens, as a backbone reads it: control text, text, passages and soft slots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from prompts import PassageSegment, RenderedPrompt, SoftSegment
from soft_prompt.tokens.chat_tokens import ChatTokens


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a prompt that is tokenised alone.

    Attributes:
        kind: `control` is what the backbone's chat template writes around the messages.
        role: of the message that it stands in; of control text, of the message that it opens; empty for what opens
            the answer.
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
        BackboneError: the chat template does not take these messages, or has no place for tools.
    """
    if prompt.tools or any(message.calls or message.role == "tool" for message in prompt.messages):
        controls, pieces = tokens.tool_layout(prompt)
    else:
        controls = tokens.chat_controls(tuple(message.role for message in prompt.messages))
        pieces = list(prompt.messages)
    laid: list[Stretch] = []

    def control(text: str, role: str) -> None:
        laid.append(Stretch("control", role, text, tuple(tokens.encode_control(text))))

    for text, message in zip(controls, pieces, strict=False):
        control(text, message.role)
        for segment in message.segments:
            if isinstance(segment, SoftSegment):
                laid.append(Stretch("slot", message.role, segment.slot, ()))
            else:
                kind: Literal["text", "passage"] = "passage" if isinstance(segment, PassageSegment) else "text"
                laid.append(Stretch(kind, message.role, segment.text, tuple(tokens.encode_text(segment.text))))
    # The control text between contents and the one that opens the answer always follow the last message.
    control(controls[-1], "")
    return laid
