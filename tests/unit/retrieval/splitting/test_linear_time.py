"""Twice the text takes about twice the time to split, whatever it consists of."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from retrieval import Document, split_document
from retrieval.documents import Writing
from retrieval.splitting.sentences import sentences
from tests.support.effort import effort

TEXTS: dict[str, Callable[[int], str]] = {
    "accents": lambda n: "\u0301\u0323\u0334" * n,
    "accented letters": lambda n: "a\u0301\u0323" * n,
    "joined emoji": lambda n: "\u200d😀" * n,
    "dots": lambda n: "." * n + "x",
    "closing quotes": lambda n: '."' * n,
    "spaces": lambda n: "a. " + " " * n + "b",
    "one long word": lambda n: "x" * 4 * n,
    "one long line": lambda n: "word " * n,
    "short lines": lambda n: "line\n" * n,
    "rows": lambda n: "| a | b |\n|---|---|\n" + "| c | d |\n" * n,
    "a row of many cells": lambda n: "| a | b |\n|---|---|\n| c | " + "d | " * n,
    "fences": lambda n: "```\n" * n,
    "brackets": lambda n: "[a" * n,
    "fields": lambda n: "name: value\n" * n,
}


def count_tokens(text: str) -> int:
    return 2 + sum(-(-len(word) // 4) for word in re.findall(r"\w+|[^\w\s]", text))


def splitting(text: str, writing: Writing) -> float:
    document = Document("d", "Title", text, "d", "d", "", "", writing=writing)
    return effort(lambda: split_document(document, count_tokens, 72))


@pytest.mark.parametrize("writing", ["markdown", "plain", "fields"])
@pytest.mark.parametrize("what", TEXTS)
def test_splitting_takes_linear_time(what: str, writing: Writing) -> None:
    text = TEXTS[what]
    half, whole = splitting(text(2_000), writing), splitting(text(4_000), writing)
    assert whole < max(3 * half, 20)
    assert whole < 60


def test_a_row_of_dots_is_read_once() -> None:
    text = "." * 200_000 + "end. Next."
    assert effort(lambda: sentences(text, (0, len(text)))) < 40
    assert len(sentences(text, (0, len(text)))) == 2


def test_a_long_text_is_not_counted_as_a_whole() -> None:
    longest = 0

    def count(text: str) -> int:
        nonlocal longest
        longest = max(longest, len(text))
        return count_tokens(text)

    split_document(Document("d", "t" * 100_000, "word " * 50_000, "d", "d.md", "", ""), count, 72)
    assert longest < 10_000


def test_pieces_of_a_run_of_accents_are_as_long_as_others() -> None:
    text = "\u0301" * 5_000
    passages = split_document(Document("d", "", text, "d", "d.md", "", ""), lambda text: len(text) + 2, 72)
    assert len(passages) < 100


def test_a_table_of_many_short_rows_stays_one_table() -> None:
    text = "| a | b | c |\n|---|---|---|\n" + "| d |\n" * 35_000
    passages = split_document(Document("d", "", text, "d", "d.md", "", ""), count_tokens, 72)
    assert passages[-1].heading == "a | b | c"
