"""A streamed answer without white space around the whole."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator


def trimmed(pieces: Iterable[str]) -> Iterator[str]:
    """The pieces without white space around the whole."""
    held = _Held()
    for piece in pieces:
        if shown := held.add(piece):
            yield shown


async def atrimmed(pieces: AsyncIterator[str]) -> AsyncIterator[str]:
    """As `trimmed`."""
    held = _Held()
    async for piece in pieces:
        if shown := held.add(piece):
            yield shown


class _Held:
    """White space that is shown only if something follows it."""

    def __init__(self) -> None:
        self.text = ""
        self.begun = False

    def add(self, piece: str) -> str:
        """What may be shown now."""
        self.text += piece
        if not self.begun:
            self.text = self.text.lstrip()
        shown = self.text.rstrip()
        self.text = self.text[len(shown) :]
        self.begun = self.begun or bool(shown)
        return shown
