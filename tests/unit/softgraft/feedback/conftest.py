"""A domain with answers to rate, made once and copied."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from rated_house import write_house

from softgraft.feedback.place import StoredDomain, stored_domain


@pytest.fixture(scope="session")
def asked_house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the domain; only copied."""
    return write_house(tmp_path_factory.mktemp("asked") / "house")


@pytest.fixture
def house(tmp_path: Path, asked_house: Path) -> Iterator[StoredDomain]:
    """A copy of it, as the domain `house` under domains/."""
    domain = stored_domain(Path(shutil.copytree(asked_house, tmp_path / "domains" / "house")))
    yield domain
    domain.conversations.close()
