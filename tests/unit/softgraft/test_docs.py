"""The generated pages are up to date, and every setting is described."""

from __future__ import annotations

import pytest

from softgraft.docs import FOLDER, pages
from softgraft.settings.domain_file import DomainFile

# Left out of `make check`.
pytestmark = pytest.mark.heavy


@pytest.mark.parametrize("name", ["settings.md", "commands.md"])
def test_the_page_is_up_to_date(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == pages()[name], "run: make docs"


def test_every_setting_is_described() -> None:
    table = [line for line in pages()["settings.md"].splitlines() if line.startswith("| `")]
    assert len(table) > len(DomainFile.model_fields) + 30
    assert [line for line in table if line.rstrip(" |").endswith("|")] == []
