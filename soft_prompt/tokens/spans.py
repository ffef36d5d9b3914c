"""A rendered prompt as token spans: control text, text, passages and soft slots, each tokenised alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from prompts import PassageSegment, RenderedPrompt, SoftSegment
from soft_prompt.tokens.chat_tokenizer import ChatTokenizer


@dataclass(frozen=True, slots=True)
class TokenSpan:
    """A part of a prompt that is tokenised alone.

    Attributes:
        kind: `control` is the text that the backbone's chat template writes around the messages.
        role: of the message that holds the span; of control text, of the message that it opens; empty for the control
            text that opens the answer.
        text: the span's text; of a soft slot, its name.
        ids: its token ids; empty for a soft slot, whose fill is not known here.
    """

    kind: Literal["control", "text", "passage", "slot"]
    role: str
    text: str
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True, repr=False)
class TokenizedPrompt:
    """A rendered prompt, tokenised once; its soft slots are filled later, perhaps several times."""

    spans: tuple[TokenSpan, ...]

    def __repr__(self) -> str:
        return f"TokenizedPrompt({len(self.spans)} spans, {sum(len(span.ids) for span in self.spans)} tokens)"


def tokenize_prompt(tokens: ChatTokenizer, prompt: RenderedPrompt) -> TokenizedPrompt:
    """Tokenise a rendered prompt.

    Text and passages are data: control tokens written out in them stay text.

    Raises:
        BackboneError: if the chat template does not take these messages, or has no place for tools.
    """
    controls, contents = tokens.control_texts(prompt)
    spans: list[TokenSpan] = []
    # The control text that opens the answer follows the last message.
    for text, message in zip(controls, [*contents, None], strict=True):
        role = message.role if message else ""
        spans.append(TokenSpan("control", role, text, tuple(tokens.encode_control(text))))
        for segment in message.segments if message else ():
            if isinstance(segment, SoftSegment):
                spans.append(TokenSpan("slot", role, segment.slot, ()))
            else:
                kind: Literal["text", "passage"] = "passage" if isinstance(segment, PassageSegment) else "text"
                spans.append(TokenSpan(kind, role, segment.text, tuple(tokens.encode_text(segment.text))))
    return TokenizedPrompt(tuple(spans))
