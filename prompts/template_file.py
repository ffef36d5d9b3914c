"""A template that follows its file, and the text twins of its soft slots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from prompts import Template, load_template


class TemplateFile:
    """A template that is read again when its file or a block of it changes, so that an edit changes the next answer."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: list[tuple[int, int] | None] = []
        self._template: Template | None = None

    def current(self) -> Template:
        """The template as the file stands now.

        Raises:
            TemplateError: the file has problems.
        """
        known = self._template.sources if self._template else (self.path,)
        seen = [_state(path) for path in known]
        if self._template is None or seen[0] is None or seen != self._seen:
            self._template = load_template(self.path)
            self._seen = [seen[0], *(_state(path) for path in self._template.sources[1:])]
        return self._template


def _state(path: Path) -> tuple[int, int] | None:
    """What changes when a file does; None where there is none."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size


class TextTwins(Mapping[str, str]):
    """Soft slot name to text twin, as the template file stands now."""

    def __init__(self, template: TemplateFile) -> None:
        self._template = template

    def __getitem__(self, slot: str) -> str:
        return self._template.current().soft_slots[slot]

    def __iter__(self) -> Iterator[str]:
        return iter(self._template.current().soft_slots)

    def __len__(self) -> int:
        return len(self._template.current().soft_slots)
