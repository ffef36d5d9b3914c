"""Sentences to quote: whole, also where the lines of a paragraph were wrapped."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.splitting.sentences import sentence_spans


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text)]


def test_wrapped_lines_are_one_sentence() -> None:
    text = (
        "You can put a marker into the content of the page, at the place\n"
        "where you want the summary to end. It is not shown on the page, and\n"
        "a template finds it.\n"
    )
    assert sentences(text) == [
        "You can put a marker into the content of the page, at the place\nwhere you want the summary to end.",
        "It is not shown on the page, and\na template finds it.",
    ]


def test_a_short_line_before_a_long_link_is_continued() -> None:
    text = "People can change it. You'll also need to\n[modify your agreement](https://example.org)\nwith your address."
    spans = [text[start:end] for start, end in sentence_spans(text)]
    assert spans == ["People can change it.", text[text.index("You") :]]


@pytest.mark.parametrize("start", ['<a href="/x">the file</a>', "`css/styles.css`"])
def test_a_line_may_begin_with_a_link_or_code(start: str) -> None:
    text = f"It is copied to the destination folder under\n{start}."
    assert sentences(text) == [text]


def test_a_wrapped_list_entry_is_one_sentence() -> None:
    text = (
        "- the first entry is so long that it does not fit into one\n  line of the file\n- the second entry is short\n"
    )
    assert sentences(text) == [
        "the first entry is so long that it does not fit into one\n  line of the file",
        "the second entry is short",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "Monday: nine to five\nTuesday: ten to four",
        "# A heading that is longer than the lines that somebody wrapped\nThe text after it",
        "These are the things that you have to bring when you come to us:\nyour passport",
        "| one cell of a table whose rows are long enough | another one |\n| 1 | 2 |",
        "The first paragraph of the text has no full stop at its very end\n\nthe second one",
        "The command to type is in the next line, as in many manuals, so\n    make demo\n```\nmake test\n```",
    ],
)
def test_other_lines_stay_apart(text: str) -> None:
    lines = [line.strip("#| ") for line in text.splitlines() if any(c.isalnum() for c in line)]
    joined = [line for line in sentences(text) if "\n" in line]
    assert joined == [] or "make demo" in joined[0]
    assert len(sentences(text)) >= len(lines) - 1


@given(
    st.lists(
        st.sampled_from(
            ["word ", "Ends. ", "\n", "- ", "# ", "| ", "长句子。", "a line of more than fifty characters, w"]
        )
    )
)
def test_spans_are_exact_and_in_order(pieces: list[str]) -> None:
    text = "".join(pieces)
    last = 0
    for start, end in sentence_spans(text):
        assert last <= start < end <= len(text)
        assert text[start:end] == text[start:end].strip()
        last = end
    covered = "".join(text[start:end] for start, end in sentence_spans(text))
    assert [c for c in covered if c.isalnum()] == [c for c in text if c.isalnum()]
