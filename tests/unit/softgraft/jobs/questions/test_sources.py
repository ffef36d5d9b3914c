"""The sentences that questions are drafted from: their spans, their spread over documents, and their order."""

from __future__ import annotations

from collections import Counter

from retrieval.documents import Document
from softgraft.jobs.questions.form import form_problem
from softgraft.jobs.questions.sources import Source, spread_sources

FEES = """# Card fees

A debit card costs £7.50
and takes 10 working days to make. The Larkmoor card is free.

## Table

| Service | Charge |
| --- | --- |
| Duplicate statement | £3 |
| Second copy by post | £4.20 |

## Code

```sh
run --for 5 days
```

- A courier costs £12.
- Ask Jane Fenwick for the form.
"""
OPENING = "# Opening\n\nThe branch opens at 9am. A visit takes 20 minutes.\n\n## Sunday\n\nThe lobby closes at 4pm.\n"
TEXTS = {"fees": FEES, "opening": OPENING}


def document(doc_id: str) -> Document:
    text = TEXTS[doc_id]
    return Document(doc_id, text.splitlines()[0].lstrip("# "), text, "", f"{doc_id}.md", "", "")


def sources(seed: int = 0) -> list[Source]:
    return list(spread_sources(list(TEXTS), document, seed))


def test_each_quote_is_a_span_that_holds_its_answers() -> None:
    found = sources()
    assert len(found) >= 9
    for source in found:
        quote = TEXTS[source.doc_id][source.start : source.end]
        assert " ".join(quote.split()) == " ".join(source.sentence.split())
        assert all(answer in source.sentence for answer in source.answers)
        assert source.group == source.doc_id


def test_lists_tables_and_wrapped_lines() -> None:
    questions = {source.worded.question: source for source in sources() if source.worded}
    assert questions["How long does a debit card take to make?"].heading == ""
    assert questions["What is the charge for second copy by post?"].answers == ("£4.20",)
    assert questions["How much does a courier cost?"].sentence == "A courier costs £12."
    assert not any("run" in source.sentence for source in sources())
    [name] = [source for source in sources() if source.kind == "name"]
    assert (name.worded, name.answers) == (None, ("Jane Fenwick",))


def test_documents_take_turns_and_sentences_come_once_before_they_come_again() -> None:
    ruled = [source for source in sources() if source.worded]
    assert {source.doc_id for source in ruled[:2]} == {"fees", "opening"}
    assert [source.worded is None for source in sources()] == sorted(source.worded is None for source in sources())
    wrapped = [source for source in ruled if source.sentence.startswith("A debit card")]
    assert len(wrapped) == 2
    first = [source for source in ruled if source.doc_id == "fees"][:4]
    assert max(Counter(source.start for source in first).values()) == 1


def test_the_order_depends_on_the_seed_alone() -> None:
    keys = [source.key for source in sources(3)]
    assert keys == [source.key for source in spread_sources(["opening", "fees"], document, 3)]
    assert len(set(keys)) == len(keys)
    assert {tuple(source.key for source in sources(seed)) for seed in range(8)} != {tuple(keys)}


def test_the_form_of_a_question() -> None:
    def problem(question: str, sentence: str = "A debit card costs £7.50 to replace.") -> str | None:
        return form_problem(question, ("£7.50",), sentence)

    assert problem("How much does a debit card cost?") is None
    assert problem("Within how many days is a debit card replaced?") is None
    assert problem("A debit card costs money.") == "no question"
    assert problem("Is it? Does a card cost money?") == "no question"
    assert problem("How?") == "too short or too long"
    assert problem("Does a debit card cost £7.50?") == "contains its answer"
    assert problem("What does the text say about a debit card?") == "mentions the text"
    assert problem("How long does it last to replace?") == "refers to something unnamed"
    assert problem("How much does a debit card cost after that?") == "refers to something unnamed"
    assert problem("Where is the nearest branch?") == "about something else"
    assert problem("补办借记卡需要多少钱？", "补办借记卡需要10元。") is None
    assert problem("补办借记卡需要10元？", "补办借记卡需要10元。") == "no question"
