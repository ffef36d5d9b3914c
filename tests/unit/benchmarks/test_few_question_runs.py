"""The questions of the benchmarks with few questions and with yes/no questions."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.domains.few_question_runs import drawn
from benchmarks.domains.yes_no_rows import QUESTIONS, split
from benchmarks.script import ROOT
from evaluation import Item, read_items
from evaluation.questions.closed_answers import closed_answers
from evaluation.questions.references import find_quote
from retrieval import convert_file

pytestmark = pytest.mark.bench


def test_a_larger_draw_contains_the_smaller_ones() -> None:
    items = [Item(id=str(n), question="?") for n in range(100)]
    small, large = drawn(items, 20, 1), drawn(items, 60, 1)
    assert (len(small), len(large)) == (20, 60)
    assert {item.id for item in small} < {item.id for item in large}
    assert drawn(items, 20, 1) == small != drawn(items, 20, 2)


def test_the_yes_no_questions_are_about_the_documents_of_bank() -> None:
    items = read_items(QUESTIONS)
    docs = ROOT / "domains" / "bank" / "docs"
    texts = {document.id: document.text for path in sorted(docs.glob("*.md")) for document in convert_file(path, docs)}
    assert len(items) == 93
    assert [item.id for item in items if item.doc_id in texts and not find_quote(texts[item.doc_id], item.quote)] == []
    assert sum(item.doc_id in texts for item in items) > 80
    train, dev = split(items)
    assert not {item.doc_id for item in train} & {item.doc_id for item in dev}
    closed = closed_answers(train)
    assert closed is not None
    assert sorted(closed.answers) == ["no", "yes"]
    assert min(Counter(item.target for item in dev).values()) > len(dev) / 3
