"""Whether a reply is text of the evidence, word by word."""

from __future__ import annotations

from collections.abc import Sequence

from chains.answering.answer_writer import CLOSING_MARK, OPENING_MARK


def is_verbatim(reply: str, evidence: Sequence[str]) -> bool:
    """Whether each line of a reply is text of one passage, apart from white space, quotation marks and list signs.

    A quoted entry of a list may follow the line that introduces the list.
    """
    passages = [_words(text) for text in evidence]
    return all(_is_excerpt(_words(line.strip(OPENING_MARK + CLOSING_MARK)), passages) for line in _lines(reply))


def _lines(reply: str) -> list[str]:
    quotes = reply.replace(f"{CLOSING_MARK}\n{OPENING_MARK}", f"{CLOSING_MARK}\0{OPENING_MARK}").split("\0")
    return [one for one in quotes if one.strip()]


def _is_excerpt(words: Sequence[str], passages: Sequence[Sequence[str]]) -> bool:
    for passage in passages:
        if _contains(passage, words):
            return True
        colons = [n for n, word in enumerate(words, 1) if word.endswith((":", "：")) and n < len(words)]
        if any(_contains(passage, words[:n]) and _contains(passage, words[n:]) for n in colons):
            return True
    return False


def _contains(passage: Sequence[str], words: Sequence[str]) -> bool:
    return any(list(passage[n : n + len(words)]) == list(words) for n in range(len(passage) - len(words) + 1))


def _words(text: str) -> list[str]:
    return [word for word in text.replace("|", " ").split() if any(c.isalnum() for c in word)]
