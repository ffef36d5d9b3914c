"""Labels as words: a verbalizer gives every label its own (Schick and Schütze 2021, arXiv:2001.07676)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from chains.errors import InputError


@dataclass(frozen=True)
class Verbalizer:
    """The words of each label.

    Attributes:
        words: label to words.

    Raises:
        InputError: fewer than two labels, no words for one, or two labels with the same words.
    """

    words: Mapping[str, str]

    def __post_init__(self) -> None:
        empty = sorted(label for label, words in self.words.items() if not words.strip())
        given = list(self.words.values())
        twice = sorted(label for label, words in self.words.items() if given.count(words) > 1)
        if len(self.words) < 2 or empty or twice:
            raise InputError(
                found=f"{len(self.words)} labels"
                + (f", {', '.join(empty)} without words" if empty else "")
                + (f", {', '.join(twice)} with the same words" if twice else ""),
                expected="at least two labels, each with words of its own",
                next_step="edit labels.yaml",
            )

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """All labels, in the order of their scores."""
        return tuple(self.words)


def default_words(label: str) -> str:
    """The words of a label whose name says what it is: `card_arrival` is `card arrival`."""
    return " ".join(label.replace("_", " ").split())
