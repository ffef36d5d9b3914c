"""Misspelt names of columns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.conversion.columns import likely_meant

KNOWN = ("id", "question", "answers", "doc_id", "group", "text")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("anwsers", "answers"),
        ("qustion", "question"),
        ("questiion", "question"),
        ("Qeustion", "question"),
        ("goup", "group"),
        ("tezt", "text"),
        ("docid", "doc_id"),
        ("idx", None),
        ("ID", None),
        ("url", None),
        ("question_id", None),
        ("_groups", None),
        ("", None),
    ],
)
def test_one_edit_is_a_misspelling(name: str, meant: str | None) -> None:
    assert likely_meant(name, KNOWN) == meant


@given(st.data())
def test_every_single_edit_is_found(data: st.DataObject) -> None:
    word = data.draw(st.sampled_from(["question", "answers", "group"]))
    place = data.draw(st.integers(0, len(word) - 2))
    edits = {
        word[:place] + word[place + 1 :],
        word[:place] + "x" + word[place:],
        word[:place] + "x" + word[place + 1 :],
        word[:place] + word[place + 1] + word[place] + word[place + 2 :],
    }
    assert all(likely_meant(edit, [word]) == word for edit in edits - {word})
