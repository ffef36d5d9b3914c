"""A verbalizer maps labels to words (Schick and Schütze 2021, arXiv:2001.07676)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from chains.errors import InputError


@dataclass(frozen=True)
class Verbalizer:
    """Label to words; at least two labels, each with different words."""

    words: Mapping[str, str]

    def __post_init__(self) -> None:
        empty = sorted(label for label, words in self.words.items() if not words.strip())
        all_words = list(self.words.values())
        ambiguous = sorted(label for label, words in self.words.items() if all_words.count(words) > 1)
        if len(self.words) < 2 or empty or ambiguous:
            raise InputError(
                found=f"{len(self.words)} labels"
                + (f", {', '.join(empty)} without words" if empty else "")
                + (f", {', '.join(ambiguous)} with the same words" if ambiguous else ""),
                expected="at least two labels, each with different words",
                next_step="edit labels.yaml",
            )

    @cached_property
    def labels(self) -> tuple[str, ...]:
        return tuple(self.words)


def default_words(label: str) -> str:
    """Words from the name of a label: `card_arrival` becomes `card arrival`."""
    return " ".join(label.replace("_", " ").split())
