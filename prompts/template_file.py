"""Templates that are reloaded when their file or one of their blocks changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from prompts.load import load_template
from prompts.template import Template


class TemplateFile:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._stats: list[tuple[int, int] | None] = []
        self._template: Template | None = None

    def current(self) -> Template:
        sources = self._template.sources if self._template else (self.path,)
        stats = [_stat(path) for path in sources]
        if self._template is None or stats[0] is None or stats != self._stats:
            self._template = load_template(self.path)
            # The file's own state is from before it was read: an edit during the read triggers another reload.
            self._stats = [stats[0], *(_stat(path) for path in self._template.sources[1:])]
        return self._template


def _stat(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size


class TextTwins(Mapping[str, str]):
    """Soft slot name to text twin, from the current template file."""

    def __init__(self, template: TemplateFile) -> None:
        self._template = template

    def __getitem__(self, slot: str) -> str:
        return self._template.current().soft_slots[slot]

    def __iter__(self) -> Iterator[str]:
        return iter(self._template.current().soft_slots)

    def __len__(self) -> int:
        return len(self._template.current().soft_slots)
