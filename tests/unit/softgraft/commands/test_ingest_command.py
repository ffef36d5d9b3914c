"""`softgraft ingest`: --dry-run, --strict, --watch and the limits of domain.yaml."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from softgraft import Domain
from softgraft.commands.ingest import FILES_FAILED
from softgraft.jobs.watch import Change, changes, snapshot, wait_for_changes
from tests.support.hashing_encoder import HashingEncoder

# Left out of `make check`.
pytestmark = pytest.mark.heavy

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def domain(make_domain: Callable[..., Domain], monkeypatch: pytest.MonkeyPatch) -> Domain:
    """A domain on disk; whoever opens it gets an encoder without weights."""
    monkeypatch.setattr("softgraft.assembly.parts.load_encoder", lambda name: HashingEncoder(dimension=256))
    return make_domain()


@pytest.fixture
def at_each_poll(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Run one step each time the watch sleeps, and press Ctrl-C after the last one."""

    def play(*steps: Callable[[], object]) -> None:
        left: Iterator[Callable[[], object]] = iter(steps)

        def sleep(_: float) -> None:
            step = next(left, None)
            if step is None:
                raise KeyboardInterrupt
            step()

        monkeypatch.setattr("softgraft.jobs.watch.time.sleep", sleep)

    return play


def nothing() -> None:
    """Leave the folder unchanged."""


def test_a_dry_run_shows_what_would_change(run: Run, domain: Domain) -> None:
    place = str(domain.folder)
    code, out, err = run("ingest", place, "--dry-run")
    assert code == 0
    assert out.startswith("documents: 5 to add, 0 to change, 0 to remove, 0 unchanged; passages: ")
    assert out.endswith(f"nothing was written\nnext: softgraft ingest {place}\n")
    assert not domain.build.exists()
    (domain.docs / "bad.md").write_bytes(b"\x00")
    code, out, err = run("ingest", place, "--dry-run", "--json")
    assert (code, err) == (0, "")
    plan = json.loads(out)["plan"]
    assert (plan["added"], plan["removed"], plan["failed"][0][0]) == (5, 0, "bad.md")
    assert plan["embedded"] == plan["passages"] >= 5


def test_strict_has_an_exit_code_for_failed_files(run: Run, domain: Domain) -> None:
    place = str(domain.folder)
    assert run("ingest", place, "--strict")[0] == 0
    (domain.docs / "bad.md").write_bytes(b"\x00")
    for more in ((), ("--json",), ("--dry-run",)):
        code, out, _ = run("ingest", place, "--strict", *more)
        assert code == FILES_FAILED
        assert "5" in out
    code, out, err = run("ingest", place)
    assert code == 0
    assert "left out: bad.md: bad.md contains binary data" in err
    assert "5 unchanged" in out


def test_the_limits_of_the_domain_file_hold(run: Run, domain: Domain) -> None:
    (domain.docs / "big.txt").write_bytes(b"x" * (2**20 + 1))
    path = domain.folder / "domain.yaml"
    written = path.read_text(encoding="utf-8")
    path.write_text(written + "ingest: {file_mib: 1}\n", encoding="utf-8")
    code, _, err = run("ingest", str(domain.folder))
    assert code == 0
    assert "left out: big.txt: big.txt has 1.0 MiB. Expected: at most 1 MiB." in err
    path.write_text(written + "ingest: {seconds: 0}\n", encoding="utf-8")
    code, _, err = run("ingest", str(domain.folder))
    assert code == 3
    assert "ingest.seconds: Input should be greater than 0" in err


@pytest.mark.parametrize("pair", [("--dry-run", "--watch"), ("--dry-run", "--warm"), ("--watch", "--strict")])
def test_options_that_contradict_each_other(run: Run, domain: Domain, pair: tuple[str, str]) -> None:
    code, _, err = run("ingest", str(domain.folder), *pair)
    assert code == 2
    assert f"{pair[0]} and {pair[1]} together" in err


def test_the_watch_ingests_what_changes(run: Run, domain: Domain, at_each_poll: Callable[..., None]) -> None:
    new = domain.docs / "new.md"
    at_each_poll(
        nothing,
        lambda: new.write_text("# New\n\nOne."),
        # The file is still being written, so nothing is ingested yet.
        lambda: new.write_text("# New\n\nOne and two."),
        nothing,
        lambda: new.write_bytes(b"\x00"),
        nothing,
        new.unlink,
        nothing,
    )
    code, out, err = run("ingest", str(domain.folder), "--watch")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith("documents: 5 added, 0 changed, 0 unchanged, 0 removed; passages: ")
    assert lines[1] == "added new.md"
    assert lines[2].startswith("documents: 1 added, 0 changed, 5 unchanged, 0 removed; passages: ")
    assert lines[3] == "changed new.md"
    assert lines[4].startswith("documents: 0 added, 0 changed, 5 unchanged, 0 removed; passages: ")
    assert lines[5] == "removed new.md"
    assert lines[6].startswith("documents: 0 added, 0 changed, 5 unchanged, 1 removed; passages: ")
    assert len(lines) == 7
    assert err.count("left out: new.md: new.md contains binary data") == 1
    assert err.startswith("watching ")
    assert err.endswith("no longer watching; the index is up to date\n")


def test_the_watch_outlives_an_empty_folder(run: Run, domain: Domain, at_each_poll: Callable[..., None]) -> None:
    away = domain.folder / "away"
    at_each_poll(lambda: domain.docs.rename(away), nothing, lambda: away.rename(domain.docs), nothing)
    code, out, err = run("ingest", str(domain.folder), "--watch", "--json")
    assert code == 0
    first, gone, back = map(json.loads, out.splitlines())
    assert (first["ingest"]["added"], first["changes"]) == (5, [])
    assert gone["error"]["type"] == "NoDocumentsError"
    assert (back["ingest"]["added"], back["ingest"]["unchanged"]) == (0, 5)
    assert {change["kind"] for change in back["changes"]} == {"added"}
    assert "Traceback" not in err


def test_changes_are_seen_by_size_time_and_name(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("a")
    (tmp_path / "b.md").write_text("b")
    (tmp_path / "image.png").write_text("b")
    before = snapshot(tmp_path)
    assert sorted(before) == ["a.md", "b.md"]
    assert changes(before, snapshot(tmp_path)) == []
    (tmp_path / "a.md").write_text("x")
    (tmp_path / "b.md").rename(tmp_path / "c.md")
    (tmp_path / "round.md").symlink_to("round.md")
    assert changes(before, snapshot(tmp_path)) == [
        Change("changed", "a.md"),
        Change("removed", "b.md"),
        Change("added", "c.md"),
        Change("added", "round.md"),
    ]


def test_waiting_ends_when_the_folder_no_longer_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.md"
    polls: list[float] = []

    def sleep(seconds: float) -> None:
        polls.append(seconds)
        if len(polls) in {2, 3, 4}:
            path.write_text("x" * len(polls))

    monkeypatch.setattr("softgraft.jobs.watch.time.sleep", sleep)
    found = wait_for_changes(tmp_path, snapshot(tmp_path))
    assert found == [Change("added", "a.md")]
    assert len(polls) == 5


def test_links_that_leave_docs_are_followed_only_by_the_setting(run: Run, domain: Domain, tmp_path: Path) -> None:
    (tmp_path / "outside.md").write_text("# Outside\n\nThe password is swordfish.")
    (domain.docs / "notes.md").symlink_to(tmp_path / "outside.md")
    place = str(domain.folder)
    code, out, err = run("ingest", place, "--strict")
    assert (code, out.startswith("documents: 5 added")) == (FILES_FAILED, True)
    assert "left out: notes.md: notes.md links to a place outside the docs folder. " in err
    assert json.loads(run("ingest", place, "--json")[1])["ingest"]["failed"][0][0] == "notes.md"
    assert snapshot(domain.docs)["notes.md"] == ()
    path = domain.folder / "domain.yaml"
    path.write_text(path.read_text(encoding="utf-8") + "ingest: {follow_links: true}\n", encoding="utf-8")
    code, out, err = run("ingest", place, "--strict")
    assert (code, out.startswith("documents: 1 added")) == (0, True)
    assert snapshot(domain.docs, follow_links=True)["notes.md"] != ()
