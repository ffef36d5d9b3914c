"""The control text that a backbone's chat template puts around message contents.

Contents never pass through the chat template: it is rendered once with stand-ins for the contents, and only the
text between the stand-ins is kept. So a document cannot be parsed as template, and every segment is tokenised
alone.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence

from soft_prompt.errors import BackboneError

ApplyTemplate = Callable[[list[dict[str, str]]], str]


def control_texts(apply: ApplyTemplate, roles: Sequence[str]) -> list[str]:
    """The texts before, between and after the contents of messages with these roles.

    Args:
        apply: renders a list of `{"role", "content"}` with the generation prompt added.
        roles: one role a message.

    Returns:
        `len(roles) + 1` texts.

    Raises:
        BackboneError: the chat template leaves out a message, or repeats or reorders contents.
    """
    # Random stand-ins cannot occur in the template's own text.
    stand_ins = [f"content-{secrets.token_hex(12)}" for _ in roles]
    messages = [{"role": role, "content": stand_in} for role, stand_in in zip(roles, stand_ins, strict=True)]
    of = [f"{role} message" for role in roles]
    return split_at(apply(messages), list(zip(stand_ins, of, strict=True)))


def split_at(rendered: str, stand_ins: Sequence[tuple[str, str]]) -> list[str]:
    """The texts before, between and after stand-ins, each given with what it stands for.

    Raises:
        BackboneError: a stand-in does not occur exactly once, or they occur in another order.
    """
    texts = []
    for stand_in, of in stand_ins:
        if rendered.count(stand_in) != 1:
            raise BackboneError(
                found=f"the chat template of this backbone does not write the {of} exactly once",
                expected="a chat template that writes every message once, in order",
                next_step="choose a template with the roles that this backbone knows, or another backbone",
            )
        before, rendered = rendered.split(stand_in)
        texts.append(before)
    if any(stand_in in text for stand_in, _ in stand_ins for text in texts):
        raise BackboneError(
            found="the chat template of this backbone changes the order of messages",
            expected="a chat template that writes every message once, in order",
            next_step="choose another backbone",
        )
    return [*texts, rendered]


def plain_chat(messages: list[dict[str, str]]) -> str:
    """A chat template for backbones that bring none."""
    return "".join(f"{m['role']}: {m['content']}\n\n" for m in messages) + "assistant:"
