"""White space around a streamed answer is removed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chains.conversation.graph import trimmed


@given(st.lists(st.text(alphabet="ab \n\t", max_size=4), max_size=8))
def test_trimmed_pieces_join_to_the_stripped_whole(pieces: list[str]) -> None:
    found = list(trimmed(pieces))
    assert "".join(found) == "".join(pieces).strip()
    assert all(found)


def test_trimming_waits_for_no_more_than_white_space() -> None:
    pieces = iter(["  a", "b ", " c", " "])
    shown = trimmed(pieces)
    assert next(shown) == "a"
    assert next(pieces) == "b "
    assert list(shown) == [" c"]
