"""The documents and questions of the example domains."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from evaluation import Item, contains_answer, normalise, read_items
from retrieval import Document, convert_file

DOMAINS = Path(__file__).resolve().parents[3] / "domains"
# Split -> number of items, and number of those without an answer in the documents.
SPLITS = {"train": (240, 40), "dev": (60, 20), "test": (140, 40)}
GENERATED_FORMATS = {".html", ".docx", ".pdf"}
WORDS = re.compile(r"\w+(?:['’]\w+)?")


@pytest.fixture(params=["bank", "clinic", "college", "playhouse"])
def domain(request: pytest.FixtureRequest) -> Path:
    """The folder of each example domain in turn."""
    folder: Path = DOMAINS / request.param
    return folder


@cache
def documents(domain: Path) -> dict[str, Document]:
    """Id -> converted document."""
    files = sorted(path for path in (domain / "docs").iterdir() if path.is_file())
    return {document.id: document for path in files for document in convert_file(path, domain / "docs")}


@cache
def splits(domain: Path) -> dict[str, list[Item]]:
    """Split -> its items."""
    return {split: read_items(domain / f"{split}.jsonl") for split in SPLITS}


def lines_of(text: str) -> list[str]:
    """The lines of a text, without blank lines."""
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def four_word_runs(text: str) -> set[tuple[str, ...]]:
    words = WORDS.findall(text.lower())
    return {tuple(words[start : start + 4]) for start in range(len(words) - 3)}


def conversation(item: Item) -> tuple[str, ...]:
    """The history and the question, normalised."""
    texts = [*(text for pair in item.history for text in pair), item.question]
    return tuple(" ".join(normalise(text)) for text in texts)


def test_at_least_forty_documents_of_readable_length_in_four_formats(domain: Path) -> None:
    by_id = documents(domain)
    lengths = {name: len(document.text.split()) for name, document in by_id.items()}
    assert len(by_id) >= 40
    assert {name: words for name, words in lengths.items() if not 200 <= words <= 1200} == {}
    formats = Counter(Path(document.source).suffix for document in by_id.values())
    assert set(formats) == {".md", *GENERATED_FORMATS}
    assert formats.most_common(1)[0][0] == ".md"


def test_titles_are_unique(domain: Path) -> None:
    titles = Counter(document.title for document in documents(domain).values())
    assert [title for title, count in titles.items() if count > 1] == []


def test_generated_documents_match_their_sources(domain: Path) -> None:
    sources = sorted((domain / "sources").glob("*.md"))
    assert len(sources) == len(GENERATED_FORMATS)
    for source in sources:
        document = documents(domain)[source.stem]
        assert Path(document.source).suffix in GENERATED_FORMATS
        assert lines_of(document.text) == lines_of(source.read_text(encoding="utf-8"))


def test_split_sizes(domain: Path) -> None:
    counts = {split: (len(items), sum(not i.answerable for i in items)) for split, items in splits(domain).items()}
    assert counts == SPLITS
    assert sum(bool(item.history) and item.answerable for item in splits(domain)["test"]) >= 20


def test_documents_contain_the_quotes_and_answers_of_answerable_items(domain: Path) -> None:
    answerable = [item for items in splits(domain).values() for item in items if item.answerable]
    assert len(answerable) == sum(items - unanswerable for items, unanswerable in SPLITS.values())
    faults = []
    for item in answerable:
        document = documents(domain).get(item.doc_id)
        if document is None:
            faults.append(f"{item.id}: no document {item.doc_id!r}")
            continue
        if not item.quote or item.quote not in document.text:
            faults.append(f"{item.id}: the quote is not in {document.source}")
        if not item.answers:
            faults.append(f"{item.id}: no answers")
        faults += [f"{item.id}: {a!r} is not in {document.source}" for a in item.answers if a not in document.text]
        if not contains_answer(item.response, item.answers):
            faults.append(f"{item.id}: the response contains none of {item.answers}")
    assert faults == []


def test_unanswerable_items_have_only_a_refusal(domain: Path) -> None:
    unanswerable = [item for items in splits(domain).values() for item in items if not item.answerable]
    assert len(unanswerable) == sum(count for _, count in SPLITS.values())
    assert [i.id for i in unanswerable if i.answers or i.quote or i.documents or not i.response.strip()] == []


def test_questions_and_ids_are_unique(domain: Path) -> None:
    items = [item for split in splits(domain).values() for item in split]
    conversations = Counter(conversation(item) for item in items)
    assert [question for question, count in conversations.items() if count > 1] == []
    assert len({item.id for item in items}) == len(items)


def test_splits_share_no_group(domain: Path) -> None:
    splits_of: dict[str, set[str]] = {}
    for split, items in splits(domain).items():
        for item in items:
            assert item.group, item.id
            splits_of.setdefault(item.group, set()).add(split)
    assert {group: some for group, some in splits_of.items() if len(some) > 1} == {}


def test_no_phrase_is_in_more_than_a_twentieth_of_the_responses(domain: Path) -> None:
    for split, items in splits(domain).items():
        runs = Counter(run for item in items for run in four_word_runs(item.response))
        frequent = {" ".join(run): count for run, count in runs.items() if count > 0.05 * len(items)}
        assert frequent == {}, split
