"""Every document and every question of the example domains `bank` and `clinic`."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from evaluation import Item, contains_answer, normalise, read_items
from retrieval import Document, convert_file

DOMAINS = Path(__file__).resolve().parents[3] / "domains"
# Split -> items, and how many of them have no answer in the documents.
SPLITS = {"train": (240, 40), "dev": (60, 20), "test": (140, 40)}
MADE_FORMATS = {".html", ".docx", ".pdf"}
WORDS = re.compile(r"\w+(?:['’]\w+)?")


@pytest.fixture(params=["bank", "clinic"])
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
    """The lines that hold text, however the blank ones between them stand."""
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def four_word_runs(text: str) -> set[tuple[str, ...]]:
    words = WORDS.findall(text.lower())
    return {tuple(words[start : start + 4]) for start in range(len(words) - 3)}


def as_asked(item: Item) -> tuple[str, ...]:
    """A question with the history that a follow-up needs, normalised."""
    texts = [*(text for pair in item.history for text in pair), item.question]
    return tuple(" ".join(normalise(text)) for text in texts)


def test_forty_documents_of_readable_length_in_four_formats(domain: Path) -> None:
    found = documents(domain)
    lengths = {name: len(document.text.split()) for name, document in found.items()}
    assert len(found) >= 40
    assert {name: words for name, words in lengths.items() if not 200 <= words <= 1200} == {}
    formats = Counter(Path(document.source).suffix for document in found.values())
    assert set(formats) == {".md", *MADE_FORMATS}
    assert formats.most_common(1)[0][0] == ".md"


def test_documents_have_titles_of_their_own(domain: Path) -> None:
    titles = Counter(document.title for document in documents(domain).values())
    assert [title for title, count in titles.items() if count > 1] == []


def test_made_documents_say_the_same_as_their_sources(domain: Path) -> None:
    sources = sorted((domain / "sources").glob("*.md"))
    assert len(sources) == len(MADE_FORMATS)
    for source in sources:
        made = documents(domain)[source.stem]
        assert Path(made.source).suffix in MADE_FORMATS
        assert lines_of(made.text) == lines_of(source.read_text(encoding="utf-8"))


def test_splits_have_their_sizes(domain: Path) -> None:
    counts = {split: (len(items), sum(not i.answerable for i in items)) for split, items in splits(domain).items()}
    assert counts == SPLITS
    assert sum(bool(item.history) and item.answerable for item in splits(domain)["test"]) >= 20


def test_answerable_items_stand_in_their_documents(domain: Path) -> None:
    answerable = [item for items in splits(domain).values() for item in items if item.answerable]
    assert len(answerable) == sum(items - unanswerable for items, unanswerable in SPLITS.values())
    faults = []
    for item in answerable:
        document = documents(domain).get(item.doc_id)
        if document is None:
            faults.append(f"{item.id}: no document {item.doc_id!r}")
            continue
        if not item.quote or item.quote not in document.text:
            faults.append(f"{item.id}: the quote does not stand in {document.source}")
        if not item.answers:
            faults.append(f"{item.id}: no answers")
        faults += [
            f"{item.id}: {a!r} does not stand in {document.source}" for a in item.answers if a not in document.text
        ]
        if not contains_answer(item.response, item.answers):
            faults.append(f"{item.id}: the response holds none of {item.answers}")
    assert faults == []


def test_unanswerable_items_have_a_refusal_and_nothing_else(domain: Path) -> None:
    unanswerable = [item for items in splits(domain).values() for item in items if not item.answerable]
    assert len(unanswerable) == sum(count for _, count in SPLITS.values())
    assert [i.id for i in unanswerable if i.answers or i.quote or i.documents or not i.response.strip()] == []


def test_no_question_or_id_comes_twice(domain: Path) -> None:
    items = [item for split in splits(domain).values() for item in split]
    asked = Counter(as_asked(item) for item in items)
    assert [question for question, count in asked.items() if count > 1] == []
    assert len({item.id for item in items}) == len(items)


def test_splits_share_no_group(domain: Path) -> None:
    places: dict[str, set[str]] = {}
    for split, items in splits(domain).items():
        for item in items:
            assert item.group, item.id
            places.setdefault(item.group, set()).add(split)
    assert {group: found for group, found in places.items() if len(found) > 1} == {}


def test_responses_differ_as_those_of_people_do(domain: Path) -> None:
    for split, items in splits(domain).items():
        runs = Counter(run for item in items for run in four_word_runs(item.response))
        often = {" ".join(run): count for run, count in runs.items() if count > 0.05 * len(items)}
        assert often == {}, split
