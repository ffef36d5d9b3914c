"""How much of a conversation the model still reads: the newest exchanges within a budget of tokens, and perhaps a
summary of those before them.

The summary is made by the speaker and kept with the conversation. When the history outgrows its budget, more is summed
up than has to be, down to half of the budget, so that the next turns fit without another call; and a later summary is
made from the one before and what has come since, never from the whole conversation again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from prompts import Turn

Overflow = Literal["drop", "summarise"]
Count = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class Budget:
    """What the model reads of a conversation at most.

    Attributes:
        exchanges: so many of them, a summary counting as one.
        tokens: so many tokens of their texts, the summary's among them.
    """

    exchanges: int
    tokens: int

    @property
    def half(self) -> Budget:
        """What is left verbatim when the rest is summed up."""
        return Budget(self.exchanges // 2, self.tokens // 2)


@dataclass(frozen=True, slots=True)
class Summary:
    """The beginning of a conversation in few words.

    Attributes:
        request: what the speaker was asked for; the model reads it as the user's words before the summary.
        text: the summary.
        exchanges: how many exchanges it stands for, from the first on.
    """

    request: str
    text: str
    exchanges: int

    @property
    def turns(self) -> list[Turn]:
        """The summary as the exchange in which it was made."""
        return [Turn("user", self.request), Turn("assistant", self.text)]


def exchanges(turns: Sequence[Turn]) -> list[list[Turn]]:
    """Turns in exchanges; each begins with what the user said."""
    found: list[list[Turn]] = []
    for turn in turns:
        if turn.role == "user" or not found:
            found.append([])
        found[-1].append(turn)
    return found


def tokens_of(turns: Sequence[Turn], count: Count) -> int:
    """Tokens of the texts of turns."""
    return sum(count(turn.text) for turn in turns)


def newest(turns: Sequence[Turn], budget: Budget, count: Count) -> list[Turn]:
    """The newest exchanges within a budget, whole ones only."""
    kept: list[list[Turn]] = []
    left = budget.tokens
    for exchange in reversed(exchanges(turns)):
        left -= tokens_of(exchange, count)
        if left < 0 or len(kept) == budget.exchanges:
            break
        kept.insert(0, exchange)
    return [turn for exchange in kept for turn in exchange]


def without_oldest(turns: Sequence[Turn]) -> list[Turn]:
    """The turns without their first exchange."""
    return [turn for exchange in exchanges(turns)[1:] for turn in exchange]


def to_sum_up(turns: Sequence[Turn], summary: Summary | None, budget: Budget, count: Count) -> list[Turn]:
    """The turns behind the summary that have to go into it now; none where all of them are still within the budget."""
    rest = exchanges(turns)[summary.exchanges if summary else 0 :]
    flat = [turn for exchange in rest for turn in exchange]
    before = summary.turns if summary else []
    if newest([*before, *flat], budget, count) == [*before, *flat]:
        return []
    return flat[: len(flat) - len(newest(flat, budget.half, count))]


@dataclass(frozen=True, slots=True)
class Recalled:
    """What the model reads of a conversation in one turn.

    Attributes:
        turns: those turns, a summary in front.
        of: how many exchanges there are.
        read: how many of them stand in `turns` as they were said.
        summarised: for how many of them a summary stands there.
        tokens: of the texts of `turns`.
        over: how many were left out although they are among the newest that the budget allows, since their texts are
            too long for it.
    """

    turns: list[Turn]
    of: int
    read: int
    summarised: int
    tokens: int
    over: int

    @property
    def record(self) -> dict[str, int]:
        """As plain data, for the conversation's memory."""
        return {"exchanges": self.of, "read": self.read, "summarised": self.summarised, "tokens": self.tokens}


def recalled(turns: Sequence[Turn], summary: Summary | None, budget: Budget, count: Count) -> Recalled:
    """What is within the budget of a summary and the turns behind it."""
    whole = exchanges(turns)
    done = summary.exchanges if summary else 0
    candidates = [*(summary.turns if summary else []), *(turn for exchange in whole[done:] for turn in exchange)]
    kept = newest(candidates, budget, count)
    # The summary is the oldest, so it is there where nothing is left out.
    with_summary = summary is not None and len(kept) == len(candidates)
    read = len(exchanges(kept)) - with_summary
    allowed = min(len(whole) - done, budget.exchanges)
    return Recalled(kept, len(whole), read, done if with_summary else 0, tokens_of(kept, count), max(0, allowed - read))


def shortened(recalled: Recalled, turns: list[Turn], count: Count) -> Recalled:
    """The same with only the newest of its turns, because the model's context has no space for the others."""
    if len(turns) == len(recalled.turns):
        return recalled
    return replace(recalled, turns=turns, read=len(exchanges(turns)), summarised=0, tokens=tokens_of(turns, count))
