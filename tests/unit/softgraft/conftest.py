"""What the tests of the product share: a small domain on a tiny backbone, both in folders of their own."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from house_domain import opened, write_domain

from soft_prompt import Backbone
from softgraft import Domain
from softgraft.__main__ import main
from softgraft.training.task import TrainReport


@pytest.fixture(scope="session")
def backbone_folders(
    make_tiny_backbone: Callable[..., Backbone], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """Two backbones of the same shape and other weights, as folders that Transformers reads."""
    folders = []
    for seed in (0, 1):
        made = make_tiny_backbone("llama", seed=seed, num_hidden_layers=1, max_position_embeddings=2048)
        folder = tmp_path_factory.mktemp("backbone")
        made.model.save_pretrained(folder)
        made.tokenizer.save_pretrained(folder)
        folders.append(folder)
    return folders[0], folders[1]


@pytest.fixture
def make_domain(tmp_path: Path, backbone_folders: tuple[Path, Path]) -> Iterator[Callable[..., Domain]]:
    """Makes domains: `make_domain("house", refusal="No.")`."""
    made: list[Domain] = []

    def make(name: str = "house", *, backbone: str | None = None, ingest: bool = False, **settings: Any) -> Domain:
        folder = write_domain(tmp_path / name, backbone or str(backbone_folders[0]), **settings)
        made.append(opened(folder))
        if ingest:
            made[-1].ingest()
        return made[-1]

    yield make
    for domain in made:
        domain.close()


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, backbone_folders: tuple[Path, Path]) -> tuple[Path, TrainReport]:
    """A domain whose soft prompt was trained and kept; copied, never changed."""
    folder = write_domain(tmp_path_factory.mktemp("trained") / "house", str(backbone_folders[0]))
    domain = opened(folder)
    domain.ingest()
    report = domain.train()
    domain.close()
    return folder, report


@pytest.fixture
def grafted(trained: tuple[Path, TrainReport], tmp_path: Path) -> Iterator[Domain]:
    """A copy of the trained domain."""
    domain = opened(Path(shutil.copytree(trained[0], tmp_path / "house")))
    yield domain
    domain.close()


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[int, str, str]]:
    """Runs a command in an empty workplace: exit code, standard output, standard error without colours."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["softgraft", *arguments])
        try:
            main()
            code = 0
        except SystemExit as done:
            code = done.code if isinstance(done.code, int) else 0
        said = capsys.readouterr()
        return code, said.out, re.sub(r"\x1b\[[0-9;]*m", "", said.err)

    return run
