"""The projects, their questions and their documents."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.script import ROOT
from evaluation import Item, read_items

FOLDER = ROOT / "benchmarks" / "projects"
ProjectSplit = Literal["train", "test"]


@dataclass(frozen=True, slots=True)
class Project:
    """One project's documentation at one commit.

    Attributes:
        split: whether its questions may be used for a choice; all questions of a project are in one split.
        repository: address that Git clones.
        licence: of the documents, as an SPDX identifier.
        files: the documents, as paths in the repository.
    """

    name: str
    split: ProjectSplit
    repository: str
    commit: str
    licence: str
    files: tuple[str, ...]

    def questions(self) -> list[Item]:
        """24 answerable questions (one fewer in `turing-way`) and 16 that the documents do not answer."""
        return read_items(FOLDER / "questions" / f"{self.name}.jsonl")

    def documents(self, data: Path) -> Path:
        """The folder with the project's documents in the data folder.

        Raises:
            SystemExit: if it is not there.
        """
        folder = data / "projects" / self.name
        if not folder.is_dir():
            command = f"python -m benchmarks.projects.documents --data {data}"
            raise SystemExit(f"{folder} does not exist. Expected: the documents of {self.name}. Next: {command}")
        return folder


def read_projects(split: ProjectSplit | None = None) -> list[Project]:
    """All projects, or those of one split."""
    rows = json.loads((FOLDER / "projects.json").read_text(encoding="utf-8"))
    projects = [Project(**{**row, "files": tuple(row["files"])}) for row in rows]
    return [project for project in projects if split in (None, project.split)]
