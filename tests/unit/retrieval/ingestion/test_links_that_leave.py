"""Links in a docs folder: those that leave it are reported and not read; pipes, sockets and devices never block."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from retrieval import ConversionError, Encoder, convert_file, ingest, plan_ingest
from retrieval.conversion.convert import read_bytes
from retrieval.conversion.limits import Limits
from retrieval.ingestion.docs_folder import find_files, walk_files

LEAVES = "links to a place outside the docs folder"


@pytest.fixture
def linked(docs: Path, tmp_path: Path) -> Path:
    """The docs folder, with links to an outside file and folder, and within the folder."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.md").write_text("The password is swordfish.")
    (docs / "notes.md").symlink_to(outside / "secret.md")
    (docs / "more").symlink_to(outside)
    (docs / "relative.txt").symlink_to("../outside/secret.md")
    (docs / "chain.md").symlink_to("notes.md")
    (docs / "up.md").symlink_to("cards/../../outside/secret.md")
    (docs / "same.md").symlink_to("disputes.md")
    (docs / "cards" / "again.txt").symlink_to("../zh.txt")
    (docs / "picture.png").symlink_to(outside / "secret.md")
    return docs


def test_links_that_leave_are_left_out_by_name(linked: Path, index_dir: Path, encoder: Encoder) -> None:
    report = ingest(linked, index_dir, encoder)
    failed = dict(report.failed)
    assert failed.keys() == {"notes.md", "more", "relative.txt", "chain.md", "up.md"}
    assert all(why.startswith(f"{name} {LEAVES}. ") for name, why in failed.items())
    assert all("`ingest.follow_links: true`" in why for why in failed.values())
    # Three files of the folder, and two links to them.
    assert report.added == 5
    assert report.skipped == ("picture.png",)
    assert b"swordfish" not in (index_dir / "index.sqlite").read_bytes()
    assert dict(plan_ingest(linked, index_dir, encoder).failed) == failed


def test_they_are_read_if_that_is_wanted(linked: Path, index_dir: Path, encoder: Encoder) -> None:
    report = ingest(linked, index_dir, encoder, follow_links=True)
    assert (report.failed, report.added) == ((), 10)
    assert plan_ingest(linked, index_dir, encoder, follow_links=True).unchanged == 10
    # What the index already has is kept, as of every file that is left out.
    again = ingest(linked, index_dir, encoder)
    assert (again.removed, again.unchanged, len(again.failed)) == (0, 5, 5)


def test_the_docs_folder_itself_may_be_a_link(docs: Path, tmp_path: Path) -> None:
    (docs / "same.md").symlink_to("disputes.md")
    elsewhere = tmp_path / "linked"
    elsewhere.symlink_to(docs)
    walked = walk_files(elsewhere)
    assert (len(walked.files), walked.failed) == (4, [])


def test_a_folder_beside_with_the_same_beginning_is_outside(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs-private").mkdir()
    (tmp_path / "docs-private" / "a.md").write_text("a")
    (tmp_path / "docs" / "a.md").symlink_to("../docs-private/a.md")
    assert [name for name, _ in walk_files(tmp_path / "docs").failed] == ["a.md"]


@pytest.fixture
def special(docs: Path) -> Iterator[Path]:
    """The docs folder with a pipe, a socket, and links to a pipe in the folder and to a device."""
    os.mkfifo(docs / "pipe.md")
    (docs / "piped.txt").symlink_to("pipe.md")
    (docs / "endless.md").symlink_to("/dev/zero")
    before = Path.cwd()
    # The path of a socket is short.
    os.chdir(docs)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.md")
        os.chdir(before)
        yield docs


def test_special_files_are_reported_and_never_opened(special: Path) -> None:
    for follow_links in (False, True):
        walked = find_files(special, follow_links=follow_links)
        assert [path.name for path in walked.files] == ["disputes.md", "zh.txt", "fees.md"]
        reasons = {name: why.split(". ")[0] for name, why in walked.failed}
        assert reasons.pop("endless.md") == f"endless.md {'is not a regular file' if follow_links else LEAVES}"
        assert reasons == {name: f"{name} is not a regular file" for name in ("pipe.md", "piped.txt", "socket.md")}


@pytest.mark.parametrize("name", ["pipe.md", "piped.txt", "endless.md", "socket.md"])
def test_a_file_that_became_a_pipe_does_not_block(special: Path, name: str) -> None:
    with pytest.raises(ConversionError, match=rf"{name} (is not a regular file|cannot be read)"):
        convert_file(special / name, special)


def test_a_file_without_a_size_is_read_up_to_the_limit(tmp_path: Path) -> None:
    environment = {f"VARIABLE_{number}": "x" * 100_000 for number in range(12)}
    with subprocess.Popen(["sleep", "60"], env={**os.environ, **environment}) as process:
        try:
            path = Path(f"/proc/{process.pid}/environ")
            if not path.is_file():
                pytest.skip("only Linux has files without a size")
            # Empty until the process has started.
            while not path.read_bytes():
                time.sleep(0.01)
            with pytest.raises(ConversionError, match=r"environ has 1\.0 MiB"):
                read_bytes(path, path.parent, Limits(file_mib=1))
        finally:
            process.kill()
