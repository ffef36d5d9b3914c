"""The questions on the documentation of public projects, and how the documents are fetched."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from benchmarks.projects.documents import fetch
from benchmarks.projects.questions import FOLDER, Project, read_projects

pytestmark = [pytest.mark.bench, pytest.mark.skipif(shutil.which("git") is None, reason="needs git")]


@pytest.mark.parametrize("project", read_projects(), ids=lambda project: project.name)
def test_questions_name_documents_of_the_project(project: Project) -> None:
    items = project.questions()
    answerable = [item for item in items if item.answerable]
    assert len(answerable) in (23, 24)
    assert len(items) - len(answerable) == 16
    assert len({item.id for item in items}) == len(items)
    names = {name.removesuffix(".md") for name in project.files}
    for item in answerable:
        assert item.doc_id in names, item.id
        assert item.answers, item.id
        assert item.response, item.id
    assert len(project.commit) == 40
    assert project.licence


def test_every_question_file_belongs_to_a_project() -> None:
    assert {path.stem for path in (FOLDER / "questions").iterdir()} == {project.name for project in read_projects()}
    assert {project.split for project in read_projects()} == {"train", "test"}


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=Nobody", "-c", "user.email=nobody@example.org"]
    done = subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_only_the_named_documents_are_fetched(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "docs").mkdir(parents=True)
    for name in ("docs/a.md", "docs/b.md", "code.py"):
        (source / name).write_text(name)
    git(source, "init", "--quiet")
    git(source, "add", ".")
    git(source, "commit", "--quiet", "-m", "All")
    commit = git(source, "rev-parse", "HEAD")
    fetch(source.as_uri(), commit, ("docs/a.md",), tmp_path / "data" / "projects" / "some")
    found = [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert [path.relative_to(tmp_path).as_posix() for path in found] == ["data/projects/some/docs/a.md"]


def test_a_repository_that_is_not_there_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="Next: see Git's message above"):
        fetch((tmp_path / "none").as_uri(), "0" * 40, ("a.md",), tmp_path / "data" / "some")
    assert [*(tmp_path / "data").iterdir()] == []


def test_missing_documents_name_the_command(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"python -m benchmarks.projects.documents --data"):
        read_projects()[0].documents(tmp_path)
