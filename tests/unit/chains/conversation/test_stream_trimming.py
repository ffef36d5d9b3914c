"""White space around a streamed answer is removed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chains.conversation.graph import TrimmedText


@given(st.lists(st.text(alphabet="ab \n\t", max_size=4), max_size=8))
def test_trimmed_pieces_join_to_the_stripped_whole(pieces: list[str]) -> None:
    trimmed = TrimmedText()
    shown = [trimmed.add(piece) for piece in pieces]
    assert "".join(shown) == trimmed.text == "".join(pieces).strip()


def test_trimming_waits_for_no_more_than_white_space() -> None:
    trimmed = TrimmedText()
    assert [trimmed.add(piece) for piece in ("  a", "b ", " c", " ")] == ["a", "b", "  c", ""]
