"""The history that the model reads: the newest turns within a token budget, after a summary of older turns if wanted.

A turn is one question and its answer; `prompts.Turn` is one message of it. The speaker writes the summary, and the
conversation keeps it. When the history exceeds its budget, more than necessary is summarised, down to half the budget,
so that the next turns fit without another call. A later summary is made from the previous one and the turns since.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Literal

from prompts import Turn

Overflow = Literal["drop", "summarise"]
CountTokens = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class HistoryBudget:
    """Maximum number of turns and of their tokens; a summary counts as one turn."""

    turns: int
    tokens: int

    @property
    def half(self) -> HistoryBudget:
        """The budget of the turns that stay verbatim when the others are summarised."""
        return HistoryBudget(self.turns // 2, self.tokens // 2)


@dataclass(frozen=True, slots=True)
class Summary:
    """Summary of the first `turns` turns; `request` is the instruction, which the model reads as the user's message."""

    request: str
    text: str
    turns: int

    @property
    def messages(self) -> list[Turn]:
        return [Turn("user", self.request), Turn("assistant", self.text)]

    def to_state(self) -> dict[str, Any]:
        return {"request": self.request, "text": self.text, "exchanges": self.turns}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Summary:
        return cls(state["request"], state["text"], state["exchanges"])


@dataclass(frozen=True, slots=True)
class HistoryWindow:
    """The part of a conversation that the model reads for one question: `messages`, with their number of `tokens`.

    Attributes:
        total: number of turns of the conversation.
        verbatim: number of turns in `messages`.
        summarised: number of turns that the summary in `messages` covers.
        dropped: number of turns that fit the turn limit but not the token limit.
    """

    messages: list[Turn]
    total: int
    verbatim: int
    summarised: int
    tokens: int
    dropped: int

    @property
    def counts(self) -> dict[str, int]:
        """The counts that are stored with a turn."""
        counts = {"exchanges": self.total, "read": self.verbatim, "summarised": self.summarised}
        return {**counts, "tokens": self.tokens}

    def shortened(self, messages: list[Turn], count_tokens: CountTokens) -> HistoryWindow:
        """The window with only the newest `messages`, which fit into the model's context."""
        if len(messages) == len(self.messages):
            return self
        tokens = total_tokens(messages, count_tokens)
        return replace(self, messages=messages, verbatim=len(split_turns(messages)), summarised=0, tokens=tokens)


def history_window(
    messages: Sequence[Turn], summary: Summary | None, budget: HistoryBudget, count_tokens: CountTokens
) -> HistoryWindow:
    """The summary and the turns after it, as far as they fit the budget."""
    turns = split_turns(messages)
    covered = summary.turns if summary else 0
    candidates = [*(summary.messages if summary else []), *chain.from_iterable(turns[covered:])]
    kept = newest_turns(candidates, budget, count_tokens)
    # The summary is the oldest turn, so it is kept only if everything is kept.
    with_summary = summary is not None and len(kept) == len(candidates)
    verbatim = len(split_turns(kept)) - with_summary
    return HistoryWindow(
        messages=kept,
        total=len(turns),
        verbatim=verbatim,
        summarised=covered if with_summary else 0,
        tokens=total_tokens(kept, count_tokens),
        dropped=max(0, min(len(turns) - covered, budget.turns) - verbatim),
    )


def messages_to_summarise(
    messages: Sequence[Turn], summary: Summary | None, budget: HistoryBudget, count_tokens: CountTokens
) -> list[Turn]:
    """The messages that the next summary has to add; empty if summary and later turns are within the budget."""
    later = list(chain.from_iterable(split_turns(messages)[summary.turns if summary else 0 :]))
    candidates = [*(summary.messages if summary else []), *later]
    if newest_turns(candidates, budget, count_tokens) == candidates:
        return []
    return later[: len(later) - len(newest_turns(later, budget.half, count_tokens))]


def split_turns(messages: Sequence[Turn]) -> list[list[Turn]]:
    """Group messages into turns; each user message starts one."""
    turns: list[list[Turn]] = []
    for message in messages:
        if message.role == "user" or not turns:
            turns.append([])
        turns[-1].append(message)
    return turns


def newest_turns(messages: Sequence[Turn], budget: HistoryBudget, count_tokens: CountTokens) -> list[Turn]:
    """The messages of the newest whole turns within a budget."""
    kept: list[list[Turn]] = []
    tokens_left = budget.tokens
    for turn in reversed(split_turns(messages)):
        tokens_left -= total_tokens(turn, count_tokens)
        if tokens_left < 0 or len(kept) == budget.turns:
            break
        kept.append(turn)
    return list(chain.from_iterable(reversed(kept)))


def without_oldest_turn(messages: Sequence[Turn]) -> list[Turn]:
    return list(chain.from_iterable(split_turns(messages)[1:]))


def total_tokens(messages: Sequence[Turn], count_tokens: CountTokens) -> int:
    return sum(count_tokens(message.text) for message in messages)
