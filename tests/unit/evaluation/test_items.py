"""Question files, JSONL and CSV: read row by row, and every fault named with its line."""

from __future__ import annotations

import contextlib
import json
import tempfile
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation import Item, ItemsError, items_hash, read_items
from evaluation.items import read_item_file, spread
from evaluation.rows import split_file

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
        ([1], "JSON object"),
        ({"id": "2"}, "question: Field required"),
        ({**GOOD, "question": ""}, "question: String should have at least 1"),
        ({**GOOD, "answers": {"a": 1}}, "answers"),
        ({**GOOD, "answers": True}, "answers"),
        ({**GOOD, "Question": "Twice?"}, "the column question twice"),
        ({**GOOD, "history": [["only a question"]]}, "history.0"),
    ],
)
def test_a_malformed_line_is_named(path: Path, line: object, words: str) -> None:
    write(path, GOOD, "", line)
    with pytest.raises(ItemsError, match=words) as caught:
        read_items(path)
    assert caught.value.found.startswith(f"line 3 of {path}: ")
    assert caught.value.next_step == f"correct line 3 of {path}"


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ({"id": "2", "qustion": "What?"}, "question"),
        ({"question": "What?", "anwsers": ["x"]}, "answers"),
        ({**GOOD, "repsonse": "It is this."}, "response"),
        ({**GOOD, "docid": "fees"}, "doc_id"),
    ],
)
def test_a_misspelt_column_is_named(path: Path, line: dict[str, object], meant: str) -> None:
    write(path, GOOD, line)
    with pytest.raises(ItemsError, match=f"line 2 of .* did you mean '{meant}'") as caught:
        read_items(path)
    assert caught.value.next_step.startswith(f"rename it to {meant}, or to _")


def test_unknown_columns_are_ignored_and_named_once(path: Path) -> None:
    rows = [{**GOOD, "url": "x", "Answers ": 1} | {"answers": None}, {"question": "And?", "url": "y", "_group": 3}]
    file = read_item_file(write(path, *rows))
    assert file.ignored == ("url", "_group")
    assert [item.answers for item in file.items] == [("1",), ()]


def test_ids_answers_and_documents_may_be_numbers(path: Path) -> None:
    [item] = read_items(write(path, {"id": 7, "question": "What?", "answers": [6, "six"], "doc_id": 3, "group": 2}))
    assert (item.id, item.answers, item.doc_id, item.group) == ("7", ("6", "six"), "3", "2")


def test_a_missing_id_is_made_of_the_question(path: Path, tmp_path: Path) -> None:
    lines = [{"question": "One?"}, {"question": "Two?"}, {"question": "One?"}, {"id": "mine", "question": "Three?"}]
    ids = {item.question: item.id for item in read_items(write(path, *lines[:2]))}
    more = read_items(write(tmp_path / "more.jsonl", *lines[::-1]))
    assert [item.id for item in more] == ["mine", ids["One?"], ids["Two?"], f"{ids['One?']}-2"]
    assert read_items(tmp_path / "more.jsonl") == more


def test_questions_in_csv(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_text(
        "\ufeffID;Question;Answers;response;doc id;quote;answerable;history;page\n"
        '1;"What does it cost; really?";6 pounds | £6;It is £6.;fees;"The fee ""A""";;"[[""Hello?"", ""Hello.""]]";4\n'
        '\n;How long?;"[""a | b"", ""c""]";;;;no;;\n',
        encoding="utf-8",
    )
    file = read_item_file(path)
    first, second = file.items
    assert (first.id, first.question, first.answers) == ("1", "What does it cost; really?", ("6 pounds", "£6"))
    assert (first.response, first.doc_id, first.quote) == ("It is £6.", "fees", 'The fee "A"')
    assert (first.answerable, first.history) == (True, (("Hello?", "Hello."),))
    assert (second.answers, second.answerable, second.doc_id) == (("a | b", "c"), False, "")
    assert second.id.startswith("q-")
    assert file.ignored == ("page",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("question,answers\nWhat?\n", "line 2 of .*: 1 cells under a header of 2"),
        ("question,question\nWhat?,b\n", "the column question twice"),
        ("qustion,answers\nWhat?,b\n", "did you mean 'question'"),
        ("answers,page\nx,2\n", "question: Field required"),
        ('question,answers\n"What,b\n', "quotation mark does not close"),
        ("question,answerable\nWhat?,perhaps\n", "answerable: "),
    ],
)
def test_malformed_csv_is_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "train.csv"
    path.write_text(text)
    with pytest.raises(ItemsError, match=words):
        read_items(path)


@given(st.binary(max_size=60))
def test_any_bytes_are_questions_or_an_error_of_ours(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in ("train.jsonl", "train.csv"):
            path = Path(folder) / name
            path.write_bytes(data)
            with contextlib.suppress(ItemsError):
                read_items(path)


def test_two_files_of_one_split_are_refused(tmp_path: Path) -> None:
    assert split_file(tmp_path, "dev") == tmp_path / "dev.jsonl"
    (tmp_path / "dev.csv").write_text("question\nWhat?\n")
    assert split_file(tmp_path, "dev") == tmp_path / "dev.csv"
    (tmp_path / "dev.jsonl").write_text("")
    with pytest.raises(ItemsError, match=r"dev\.jsonl and .*dev\.csv"):
        split_file(tmp_path, "dev")


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
