"""drafts.jsonl: reading, appending after a kill, and replacing."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.errors import ItemsError
from softgraft.jobs.questions.draft_file import Draft, DraftFile, append_line, complete_lines, counts, draft_id


def draft(number: int, **fields: object) -> Draft:
    return Draft.model_validate({"id": f"draft-{number}", "question": f"Why {number}?", "answers": ("so",), **fields})


@pytest.fixture
def file(tmp_path: Path) -> DraftFile:
    return DraftFile(tmp_path, tmp_path / "build")


def test_what_is_appended_is_read_again(file: DraftFile) -> None:
    assert file.read() == []
    drafts = [draft(1, quote="a\u2028b"), draft(2, answerable=False, answers=())]
    for one in drafts:
        file.append(one)
    assert file.read() == drafts
    file.replace(changed := drafts[0].model_copy(update={"decision": "accepted"}))
    assert file.read() == [changed, drafts[1]]
    assert counts(file.read()) == {"drafted": 2, "accepted": 1, "rejected": 0, "left": 1, "unanswerable": 1}


def test_two_runs_that_draft_the_same_question_write_it_once(file: DraftFile) -> None:
    other = DraftFile(file.path.parent, file.path.parent / "build")
    file.append(draft(1))
    file.replace(edited := draft(1, decision="rejected"))
    other.append(draft(1))
    assert file.read() == [edited]


def test_a_half_line_of_a_killed_process_is_dropped(file: DraftFile) -> None:
    file.append(draft(1))
    whole = file.path.read_bytes()
    file.append(draft(2, question="为什么？"))
    complete = file.path.read_bytes()
    for size in range(len(whole), len(complete)):
        file.path.write_bytes(complete[:size])
        known = [one.id for one in file.read()]
        # Without its line break, the last line is complete.
        assert known == (["draft-1", "draft-2"] if size == len(complete) - 1 else ["draft-1"])
        file.append(draft(3))
        assert [one.id for one in file.read()] == [*known, "draft-3"]


def test_a_malformed_line_names_its_number(file: DraftFile) -> None:
    file.append(draft(1))
    append_line(file.path, '{"id": "x"}')
    with pytest.raises(ItemsError, match=r"line 2 of .*drafts.jsonl: question"):
        file.read()
    file.path.write_text(f"{draft(1).model_dump_json()}\n" * 2)
    with pytest.raises(ItemsError, match="a second time"):
        file.read()
    file.path.write_bytes(b"\xff\n")
    with pytest.raises(ItemsError, match="cannot be read"):
        file.read()


def test_an_edited_file_may_lack_the_last_line_break(file: DraftFile) -> None:
    file.path.write_text("\ufeff" + draft(1).model_dump_json(), encoding="utf-8")
    file.append(draft(2))
    assert [one.id for one in file.read()] == ["draft-1", "draft-2"]
    assert complete_lines(file.path.with_name("absent.jsonl")) == []


def test_a_draft_becomes_a_question_of_train() -> None:
    answerable = draft(1, doc_id="fees", quote="It costs £3.", group="g", response="£3.", writer="m", subject="x")
    item = answerable.item()
    assert (item.id, item.doc_id, item.quote, item.group, item.target) == (
        "draft-1",
        "fees",
        "It costs £3.",
        "g",
        "£3.",
    )
    without = draft(2, answerable=False, answers=(), doc_id="fees", response="No.", group="g").item()
    assert (without.documents, without.answerable, without.target) == (frozenset(), False, "No.")


def test_ids_depend_on_question_and_document() -> None:
    ids = {draft_id(question, doc) for question in ("Why?", "How?") for doc in ("a", "b")}
    assert len(ids) == 4
    assert draft_id("Why?", "a") in ids
