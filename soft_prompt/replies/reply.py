"""Replies and the text of a reply as its tokens arrive."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from soft_prompt.replies.sampling import Decoding


@dataclass(frozen=True, slots=True)
class Reply:
    """One finished reply.

    Attributes:
        text: the reply without its stop text.
        tokens: number of decoded tokens.
        finish: `stop` at an end token, a stop text or the end of the constraint, `length` at `max_tokens`.
        prompt_tokens: number of positions of the prompt.
        cached_tokens: number of prompt positions that are kept for later prompts: those before the soft slot, which the
            prefix store computes where they are missing, or more if an earlier conversation is continued.
    """

    text: str
    tokens: int
    finish: Literal["stop", "length"]
    prompt_tokens: int
    cached_tokens: int


@dataclass(frozen=True, slots=True)
class Delta:
    """New text of one row. `reply` is set in the last delta of a row."""

    row: int
    text: str
    reply: Reply | None = None


@dataclass
class ReplyText:
    """The text of one reply so far, of which `shown` characters have been yielded."""

    row: int
    prompt_tokens: int
    cached_tokens: int = 0
    ids: list[int] = field(default_factory=list)
    shown: int = 0

    def add_token(
        self, token: int, decode: Callable[[Sequence[int]], str], *, is_end: bool, complete: bool, decoding: Decoding
    ) -> Delta:
        """Append a token. `complete`: whether the reply's constraint allows no token after it."""
        if not is_end:
            self.ids.append(token)
        text = decode(self.ids)
        cut = min((at for at in (text.find(s) for s in decoding.stop) if at >= 0), default=None)
        # An incomplete character at the end may be completed by the next token. It is never shown.
        text = text.rstrip("\N{REPLACEMENT CHARACTER}") if cut is None else text[:cut]
        finish: Literal["stop", "length"] | None = None
        if is_end or complete or cut is not None:
            finish = "stop"
        elif len(self.ids) >= decoding.max_tokens:
            finish = "length"
        # The start of a possible stop text is held back.
        end = len(text) if finish else len(text) - _overlap(text, decoding.stop)
        new, self.shown = text[self.shown : end], max(self.shown, end)
        if finish is None:
            return Delta(self.row, new)
        reply = Reply(text, len(self.ids), finish, self.prompt_tokens, self.cached_tokens)
        return Delta(self.row, new, reply)


def _overlap(text: str, stops: Sequence[str]) -> int:
    """Length of the longest end of the text that a stop text starts with."""
    sizes = range(min(len(text), max(map(len, stops), default=1) - 1), 0, -1)
    return next((n for n in sizes if any(n < len(stop) and text.endswith(stop[:n]) for stop in stops)), 0)
