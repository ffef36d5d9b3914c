"""From a name or a path to a domain."""

from __future__ import annotations

from pathlib import Path

import pytest

from softgraft.errors import DomainError
from softgraft.settings.location import cli_name, domain_folder


@pytest.fixture
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "domain.yaml").write_text(f"name: {folder.name}\ntitle: x\n")
    return folder


def test_a_name_under_domains_or_a_path(working_folder: Path) -> None:
    make(working_folder / "domains" / "bank")
    elsewhere = make(working_folder / "elsewhere" / "shop")
    assert domain_folder("bank") == Path("domains/bank")
    assert domain_folder("domains/bank") == Path("domains/bank")
    assert domain_folder(str(elsewhere)) == elsewhere
    assert domain_folder("elsewhere/shop") == Path("elsewhere/shop")
    # The name in messages opens the same domain again.
    assert cli_name(Path("domains/bank")) == "bank"
    assert cli_name(Path("elsewhere/shop")) == "elsewhere/shop"


def test_an_unknown_name_lists_the_known_ones(working_folder: Path) -> None:
    for name in ("clinic", "bank"):
        make(working_folder / "domains" / name)
    (working_folder / "domains" / "notes").mkdir()
    with pytest.raises(DomainError, match="no domain 'banc'; did you mean 'bank'\\?") as caught:
        domain_folder("banc")
    assert "one of bank, clinic under domains/" in caught.value.expected
    assert caught.value.next_step == "use 'bank', or create it: softgraft new banc --from FOLDER"


def test_the_error_without_any_domain(working_folder: Path) -> None:
    with pytest.raises(DomainError, match="the current folder contains no domains/"):
        domain_folder("bank")
