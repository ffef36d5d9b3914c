"""The sentences that can be quoted: exactly where they are, whole, and with the line that introduces them."""

from __future__ import annotations

import pytest

from retrieval import Passage
from retrieval.ranking.evidence_sentences import evidence_sentences, with_introduced, with_whole_sentences

TEXT = (
    "Disputes need evidence.\nSend us one of these within a fortnight:\n- a receipt for 30 euros\n- a letter\n"
    "The branch opens at nine. How much does a card cost?\nIt costs 12 euros."
)
PASSAGE = Passage("p1", "cards", "Cards", "Fees", TEXT, 0, len(TEXT))


def passage_of(text: str, start: int = 0, end: int | None = None) -> Passage:
    end = len(text) if end is None else end
    return Passage("p1", "d", "T", "", text[start:end], start, end)


def test_sentences_have_exact_spans_and_their_lead_in() -> None:
    sentences = evidence_sentences(PASSAGE)
    assert [sentence.text for sentence in sentences] == [
        "Disputes need evidence.",
        "Send us one of these within a fortnight:",
        "a receipt for 30 euros",
        "a letter",
        "The branch opens at nine.",
        "How much does a card cost?",
        "It costs 12 euros.",
    ]
    lead_ins = [TEXT[slice(*sentence.lead_in)] if sentence.lead_in else "" for sentence in sentences]
    lead = "Send us one of these within a fortnight:"
    assert lead_ins == ["", "", lead, lead, "", "", "How much does a card cost?"]
    assert sentences[2].in_context == f"Cards. Fees. {lead} a receipt for 30 euros"


def test_the_header_of_a_table_introduces_its_rows() -> None:
    text = "Fees:\n\n| Card | Fee |\n|---|---|\n| Debit | free |\n| Credit | 30 euros |\nAsk us."
    sentences = evidence_sentences(Passage("p1", "d", "T", "", text, 0, len(text)))
    lead_ins = [(one.text, text[slice(*one.lead_in)] if one.lead_in else "") for one in sentences]
    header = "Card | Fee"
    assert lead_ins == [
        ("Fees:", ""),
        (header, ""),
        ("Debit | free", header),
        ("Credit | 30 euros", header),
        ("Ask us.", ""),
    ]


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        (
            "Zola is in Brew:\n\n```sh\nbrew install zola\n```\nIt is quick.",
            "Zola is in Brew:\n\n```sh\nbrew install zola",
        ),
        (
            "Send us one of these:\n- a receipt\n- a letter\n\nWe answer soon.",
            "Send us one of these:\n- a receipt\n- a letter",
        ),
        ("Cards are free. They come by post.", "Cards are free."),
        ("The list is empty:", "The list is empty:"),
    ],
)
def test_a_sentence_that_ends_with_a_colon_is_quoted_with_what_it_introduces(text: str, quoted: str) -> None:
    sentence = evidence_sentences(Passage("p1", "d", "T", "", text, 0, len(text)))[0]
    assert with_introduced(sentence).text == quoted


def test_a_long_list_is_not_quoted_whole() -> None:
    text = "We need:\n" + "\n".join(f"- item number {n}" for n in range(10))
    sentence = evidence_sentences(Passage("p1", "d", "T", "", text, 0, len(text)))[0]
    assert with_introduced(sentence).text.endswith("item number 3")


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("- **interval** How often. Default: 30s.\n- next", ["interval** How often. Default: 30s.", "next"]),
        ("| `2` | Forced quit. No cleaning up. |\n", ["`2` | Forced quit. No cleaning up."]),
        ("Code | Meaning\n---|---\n`2` | Forced. Not clean.\n", ["Code | Meaning", "`2` | Forced. Not clean."]),
        ("1. Open it. Then close it.\n", ["1. Open it. Then close it."]),
        ('{% alert "x" %}\nOne sentence.\n```sh\nmake\n```', ["One sentence.", "make"]),
        ("One sentence. Another one. A third.", ["One sentence.", "Another one.", "A third."]),
        ("Title:\n\n  - One. Two.\n\nThree. Four. Five.", ["Title:", "One. Two.", "Three.", "Four.", "Five."]),
        (f"- {'A long entry. ' * 30}", ["A long entry. " * 21]),
    ],
)
def test_a_list_entry_or_table_row_is_one_unit(text: str, units: list[str]) -> None:
    found = [sentence.text for sentence in evidence_sentences(passage_of(text))]
    assert found[: len(units)] == [unit.strip() for unit in units]


def test_the_context_has_no_markup() -> None:
    text = '- **size** <span id="size"/> see [the `log` page](/docs/log). Default: `1`.'
    assert evidence_sentences(passage_of(text))[0].in_context == "T. size see the `log` page. Default: `1`."


DOCUMENT = (
    "# Checks\n\nFirst paragraph.\n\nChecks run in the background on a timer, and each one asks the server for a page "
    "that answers quickly. They stop with it.\n\n- **fails** Number of failed checks. Default: `1`.\n- other\n\n"
    "We need:\n\n- a receipt\n- a letter"
)


def part(start: str, end: str) -> Passage:
    """The passage that begins and ends with these words."""
    return passage_of(DOCUMENT, DOCUMENT.index(start), DOCUMENT.index(end) + len(end))


@pytest.mark.parametrize(
    ("start", "end", "first", "last"),
    [
        ("Checks run", "asks the", "Checks run in", "answers quickly."),
        ("server for", "quickly.", "Checks run in", "answers quickly."),
        ("- **fails", "failed checks.", "- **fails** Number", "Default: `1`."),
        ("Default:", "`1`.", "- **fails** Number", "Default: `1`."),
        ("They stop", "with it.", "They stop", "with it."),
        ("We need:", "We need:", "We need:", "- a letter"),
    ],
)
def test_what_the_passage_cuts_off_belongs_to_it(start: str, end: str, first: str, last: str) -> None:
    passage = with_whole_sentences(part(start, end), DOCUMENT)
    assert passage.text.startswith(first)
    assert passage.text.endswith(last)
    assert DOCUMENT[passage.start : passage.end] == passage.text


def test_a_long_sentence_is_not_completed() -> None:
    text = "A " + "very " * 200 + "long sentence. And another."
    passage = passage_of(text, 600, len(text))
    assert with_whole_sentences(passage, text).start == 600


def test_a_passage_of_another_text_stays_as_it_is() -> None:
    passage = part("Checks run", "asks the")
    assert with_whole_sentences(passage, "x" + DOCUMENT) is passage
