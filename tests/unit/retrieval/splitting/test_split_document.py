"""Passages are exact spans, in order, within the limit, and contain everything but white space and headings."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval import Document, split_document
from retrieval.documents import embedded_text
from retrieval.splitting.sections import first_title, read_sections
from tests.support.effort import effort

LIMIT = 24
RULE = re.compile(r"^[ \t>]*([-*_][ \t]*){3,}$", re.MULTILINE)


def count_tokens(text: str) -> int:
    return 2 + sum(-(-len(word) // 4) for word in re.findall(r"\w+|[^\w\s]", text))


def document(text: str, title: str = "Fees", page_starts: tuple[int, ...] = ()) -> Document:
    return Document("d", title, text, "d", "d.md", "0" * 64, "text/1", page_starts)


words = st.text(st.sampled_from("abcXYZ019é年费。.!?-'é\u0301😀"), min_size=1, max_size=12)
sentences = st.lists(words, min_size=1, max_size=14).map(" ".join)
lines = st.one_of(
    sentences,
    sentences.map(lambda text: f"# {text}"),
    sentences.map(lambda text: f"## {text}"),
    sentences.map(lambda text: f"- {text}"),
    sentences.map(lambda text: f"  - {text}"),
    sentences.map(lambda text: f"{text} | {text}"),
    st.sampled_from(["", "", "---", "===", "```", "> quoted", "[a]: http://b", "| a | b |", "|---|---|", "\t x"]),
)
texts = st.one_of(
    st.lists(lines, max_size=20).map("\n".join),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
)


@settings(max_examples=150, deadline=None)
@given(text=texts, title=st.one_of(st.just(""), sentences))
def test_spans_are_exact_ordered_limited_and_complete(text: str, title: str) -> None:
    whole = document(text, title)
    passages = split_document(whole, count_tokens, LIMIT)
    end = 0
    covered = [character.isspace() for character in text]
    for passage in passages:
        assert text[passage.start : passage.end] == passage.text
        assert passage.text == passage.text.strip() != ""
        assert end <= passage.start < passage.end
        end = passage.end
        covered[passage.start : passage.end] = [True] * len(passage.text)
        assert count_tokens(embedded_text(passage.title, passage.heading, passage.text)) <= LIMIT
    assert len({passage.id for passage in passages}) == len(passages)
    for section in read_sections(text):
        heading = section.heading
        if heading is not None and any(
            heading.text in passage.heading or heading.text == passage.title for passage in passages
        ):
            covered[heading.start : heading.end] = [True] * (heading.end - heading.start)
    for rule in RULE.finditer(text):
        covered[rule.start() : rule.end()] = [True] * (rule.end() - rule.start())
    assert [text[position] for position, done in enumerate(covered) if not done] == []


def test_headings_are_in_the_path_and_never_crossed() -> None:
    text = "# Fees\n\nFree.\n\n## Cards\n\n### Abroad\n\nCosts 3.\n\n## Loans\n\nNone.\n"
    results = [(passage.heading, passage.text) for passage in split_document(document(text), count_tokens)]
    assert results == [("", "Free."), ("Cards > Abroad", "Costs 3."), ("Loans", "None.")]


def test_a_heading_with_nothing_under_it_is_its_own_passage() -> None:
    (passage,) = split_document(document("# Title\n\n## Opening hours: 9 to 5\n"), count_tokens)
    assert passage.text == "## Opening hours: 9 to 5"


def test_short_neighbours_are_merged_and_long_ones_cut_at_sentences() -> None:
    merged = split_document(document("One.\n\nTwo.\n\nThree."), count_tokens, LIMIT)
    assert [passage.text for passage in merged] == ["One.\n\nTwo.\n\nThree."]
    long = "The fee is 3 euros. Dr. Who pays no fee at all. Others pay it every month. All pay tax."
    cut = [passage.text for passage in split_document(document(long), count_tokens, LIMIT)]
    assert cut == ["The fee is 3 euros. Dr. Who pays no fee at all.", "Others pay it every month. All pay tax."]


def test_pieces_have_similar_lengths() -> None:
    text = " ".join(["Four words and more."] * 9)
    sizes = [count_tokens(passage.text) for passage in split_document(document(text), count_tokens, 40)]
    assert max(sizes) - min(sizes) <= count_tokens("Four words and more.")


def test_cjk_is_cut_at_its_own_punctuation() -> None:
    text = "年费为八十元。境外取现另收手续费！请注意；谢谢"
    results = split_document(document(text, title=""), lambda part: len(part) + 2, 16)
    assert [passage.text for passage in results] == ["年费为八十元。", "境外取现另收手续费！", "请注意；谢谢"]


def test_list_entries_and_table_rows_are_kept_whole() -> None:
    entries = [f"- entry {number} of the list costs {number} euros" for number in range(6)]
    rows = [f"row {number} | costs {number} euros" for number in range(9)]
    text = "\n".join(entries) + "\n\n" + "\n".join(rows)
    for passage in split_document(document(text), count_tokens, 32):
        assert all(line in entries + rows for line in passage.text.split("\n") if line)


def test_a_long_title_and_heading_leave_tokens_for_the_text() -> None:
    text = "# Fees\n\n## " + "very " * 30 + "long\n\nThe text."
    *heading, passage = split_document(document(text, title="an endless title " * 20), count_tokens, LIMIT)
    assert passage.text == "The text."
    assert passage.title.endswith("…")
    assert passage.heading.endswith("…")
    # The text that "…" replaces is still in a passage.
    assert " ".join(one.text for one in heading) == "# Fees ## " + "very " * 30 + "long"


def test_a_heading_is_lost_neither_as_a_long_title_nor_above_a_long_path() -> None:
    title = "The fees of all the cards and of all the accounts"
    text = f"# {title}\n\n## One outer heading\n\n### Inner\n\nFree."
    results = split_document(document(text, title=title), count_tokens, LIMIT)
    assert [passage.text for passage in results] == [f"# {title}", "## One outer heading", "Free."]
    assert results[-1].heading == "Inner"


def test_a_long_clause_is_cut_at_its_commas() -> None:
    text = "信用卡的年费为八十元，境外取现另收手续费、汇兑费"
    results = split_document(document(text, title=""), lambda part: len(part) + 2, 16)
    assert [passage.text for passage in results] == ["信用卡的年费为八十元，", "境外取现另收手续费、汇兑费"]


def test_pages_are_not_crossed() -> None:
    first = "On page one.\n"
    text = first + "\nOn page two."
    results = split_document(document(text, page_starts=(0, len(first) + 1)), count_tokens)
    assert [(passage.text, passage.page) for passage in results] == [("On page one.", 1), ("On page two.", 2)]


def test_front_matter_is_left_out() -> None:
    text = "---\ntitle: x\ntags:\n  - a\n- b\n# note\n\n---\n# Fees\n\nBody."
    [passage] = split_document(document(text), count_tokens)
    assert passage.text == "Body."
    assert text[passage.start : passage.end] == "Body."


@pytest.mark.parametrize("text", ["---\ntitle: x\n---\n", "---\nA paragraph between rules.\n---\n"])
def test_what_else_stands_between_rules_stays(text: str) -> None:
    [passage] = split_document(document(text), count_tokens)
    assert passage.text in text


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("---\ntitle: Leave types\nkeywords: a\n---\n\n## When", "Leave types"),
        ('---\ntitle: "Time: off"\n---\nText', "Time: off"),
        ("---\ntitle: Leave\n---\n# Holidays", "Holidays"),
        ("---\nnavtitle: Leave\n---\nText", None),
        ("title: Leave", None),
    ],
)
def test_the_title_of_a_page(text: str, title: str | None) -> None:
    assert first_title(text) == title


def test_front_matter_without_an_end_takes_no_exponential_time() -> None:
    text = "---\n" + "  \n" * 20_000 + "x"
    assert first_title(text) is None
    assert effort(lambda: first_title(text)) < 40


def test_link_targets_count_no_tokens() -> None:
    text = "Read [the guide](https://example.org/" + "some/long/path/" * 9 + ") first. Then apply."
    [passage] = split_document(document(text), count_tokens, LIMIT)
    assert passage.text == text


def test_an_endless_word_is_cut_although_it_counts_as_one_token() -> None:
    results = split_document(document("x" * 5000), lambda text: len(text.split()), 16)
    assert "".join(passage.text for passage in results) == "x" * 5000
    assert max(len(passage.text) for passage in results) < 17 * 16


def test_ids_are_stable_and_a_tiny_limit_is_refused() -> None:
    once, twice = (split_document(document("Some text."), count_tokens) for _ in range(2))
    assert once == twice
    assert re.fullmatch(r"[0-9a-f]{16}", once[0].id)
    with pytest.raises(ValueError, match="at least 16"):
        split_document(document("x"), count_tokens, 15)
