"""Question files: read line by line, and every fault named with its line."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation import Item, ItemsError, items_hash, read_items
from evaluation.items import spread

GOOD = {"id": "1", "question": "What?", "answers": ["this"]}


def write(path: Path, *lines: object) -> Path:
    text = "\n".join(line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines)
    path.write_text(text + "\n", encoding="utf-8")
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "train.jsonl"


def test_items_are_read_with_all_their_fields(path: Path) -> None:
    whole = {**GOOD, "id": "2", "history": [["a", "b"]], "doc_id": "d", "doc_ids": ["e", ""], "response": "It is this."}
    first, second = read_items(write(path, GOOD, "", "   ", whole))
    assert (first.id, first.answers, first.answerable, first.target) == ("1", ("this",), True, "this")
    assert second.history == (("a", "b"),)
    assert second.documents == {"d", "e"}
    assert (second.target, second.references) == ("It is this.", ("It is this.",))
    assert first.references == ("this",)
    assert Item(id="3", question="?").target == ""


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{not json", "Invalid JSON"),
        ('{"id": "2", "question": "cut off', "Invalid JSON"),
        ([1], "object|dictionary"),
        ({"id": "2"}, "question: Field required"),
        ({**GOOD, "question": ""}, "question: String should have at least 1"),
        ({**GOOD, "colour": "red"}, "colour: Extra inputs"),
        ({**GOOD, "answers": "this"}, "answers"),
        ({**GOOD, "history": [["only a question"]]}, "history.0"),
    ],
)
def test_a_malformed_line_is_named(path: Path, line: object, words: str) -> None:
    write(path, GOOD, "", line)
    with pytest.raises(ItemsError, match=words) as caught:
        read_items(path)
    assert caught.value.found.startswith(f"line 3 of {path}: ")
    assert caught.value.next_step == f"correct line 3 of {path}"


def test_a_duplicate_id_is_reported(path: Path) -> None:
    with pytest.raises(ItemsError, match="the id 'x' in lines 2 and 3"):
        read_items(write(path, GOOD, {**GOOD, "id": "x"}, {**GOOD, "id": "x"}))


@pytest.mark.parametrize("make", [None, b"\xff\xfe{}", "folder"])
def test_a_file_that_cannot_be_read_is_named(path: Path, make: bytes | str | None) -> None:
    if isinstance(make, bytes):
        path.write_bytes(make)
    elif make:
        path.mkdir()
    with pytest.raises(ItemsError, match="cannot be read") as caught:
        read_items(path)
    assert "softgraft new" in caught.value.next_step


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x1c"])
def test_only_a_line_feed_ends_a_line(path: Path, separator: str) -> None:
    # JSON lets most of these stand in a string as they are, and text from the web is full of them.
    item = Item(id="1", question=f"one{separator}two", answers=("x",))
    path.write_text(item.model_dump_json() + "\n", encoding="utf-8")
    assert read_items(path) == [item]


def test_windows_line_ends_and_a_byte_order_mark_are_taken(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(GOOD).encode() + b"\r\n" + json.dumps({**GOOD, "id": "2"}).encode())
    assert [item.id for item in read_items(path)] == ["1", "2"]


def test_the_hash_covers_all_fields() -> None:
    items = [Item(id="1", question="?"), Item(id="2", question="?")]
    hashes = {
        items_hash(items),
        items_hash(items[:1]),
        items_hash(items[::-1]),
        items_hash([items[0], items[1].model_copy(update={"response": "Yes."})]),
    }
    assert len(hashes) == 4
    assert items_hash([Item(id="1", question="?"), Item(id="2", question="?")]) == items_hash(items)


@given(st.integers(0, 60), st.one_of(st.none(), st.integers(1, 80)))
def test_a_part_is_spread_over_the_whole(count: int, limit: int | None) -> None:
    items = [Item(id=str(number), question="?") for number in range(count)]
    found = [int(item.id) for item in spread(items, limit)]
    assert len(found) == (count if limit is None else min(limit, count))
    assert found == sorted(set(found))
    gaps = [after - before for before, after in pairwise(found)]
    assert not gaps or max(gaps) - min(gaps) <= 1
    assert not found or found[0] == 0


def test_notes_of_the_authors_may_be_lists(path: Path) -> None:
    noted = {**GOOD, "question_type": ["Keyword", "Summarization"], "multi_turn": ["Follow-up"], "source": "x"}
    [item] = read_items(write(path, noted))
    assert (item.question_type, item.multi_turn) == (("Keyword", "Summarization"), ("Follow-up",))


def test_a_document_of_null_is_none(path: Path) -> None:
    [item] = read_items(write(path, {**GOOD, "doc_id": None, "answerable": False}))
    assert (item.doc_id, item.documents) == ("", frozenset())
