"""A prompt written in Python, for whoever has no template file."""

from __future__ import annotations

from prompts import Message, PassageSegment, RenderedPrompt, Segment, SoftSegment, TextSegment


def prompt_of(*system: str | PassageSegment | SoftSegment, user: str) -> RenderedPrompt:
    """A prompt of a system message and a question.

    Args:
        system: what the system message is made of, in order; `SoftSegment("domain")` is the place of a soft slot.
            A text is data: braces and control tokens in it stay text.
        user: the question.

    Returns:
        What `train` and `encode_prompt` take, as a rendered template is.
    """
    parts: tuple[Segment, ...] = tuple(TextSegment(part) if isinstance(part, str) else part for part in system)
    return RenderedPrompt((Message("system", parts), Message("user", (TextSegment(user),))))
