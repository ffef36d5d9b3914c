"""A full disk is one of our errors, what was there before stays, and nothing half-written is left in its place."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from full_disk import full_disk

from retrieval import RetrievalError, load_scale, save_scale
from retrieval.ranking.scale_files import default_scale
from softgraft import Domain
from softgraft.errors import KNOWN, StorageError, outcome_of
from softgraft.failures import known_error
from softgraft.jobs.questions.draft_file import append_line, complete_lines
from softgraft.jobs.report.page import write_page
from softgraft.settings.domain_file import read_domain_file

Run = Callable[..., tuple[int, str, str]]


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = tmp_path / "pages"
    folder.mkdir()
    for number in range(3):
        (folder / f"page{number}.md").write_text(f"# Page {number}\n\n{'Open on Mondays. ' * 400}\n", encoding="utf-8")
    rows = [{"id": str(n), "question": f"When do you open? {n}", "answers": ["Mondays"]} for n in range(80)]
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


@pytest.mark.parametrize("limit", [0, 1, 500, 3000])
def test_new_leaves_no_half_domain(run: Run, documents: Path, tmp_path: Path, limit: int) -> None:
    with full_disk(limit):
        code, out, err = run("new", "domains/shop", "--from", str(documents))
    assert (code, out) == (6, "")
    assert "the disk is full" in err
    assert "free some space" in err
    assert list((tmp_path / "domains").iterdir()) == []
    assert run("new", "domains/shop", "--from", str(documents))[0] == 0
    assert read_domain_file(tmp_path / "domains" / "shop").name == "shop"


def test_an_error_on_a_full_disk_in_json(run: Run, documents: Path) -> None:
    with full_disk(100):
        code, out, err = run("new", "shop", "--from", str(documents), "--json")
    assert (code, err) == (6, "")
    assert json.loads(out)["error"]["type"] == "StorageError"


def failed(work: Callable[[], object]) -> Exception:
    """The error of this project with which some work ends."""
    with pytest.raises((*KNOWN, OSError)) as caught:
        work()
    known = caught.value if isinstance(caught.value, KNOWN) else known_error(caught.value)
    assert known is not None
    assert outcome_of(known).exit_code in (4, 6)
    return known


def leftovers(folder: Path) -> list[str]:
    """Files that are neither finished nor found by a later run."""
    return [p.name for p in folder.rglob("*") if p.name.endswith(".tmp")]


@pytest.mark.heavy
@pytest.mark.parametrize("limit", [0, 200, 2000, 12_000])
def test_training_keeps_the_soft_prompt_that_was_there(grafted: Domain, limit: int) -> None:
    before = files(grafted.build / "soft_prompt")
    form = files(grafted.build).get("answer_form.json")
    settings = grafted.file.train.with_options({"epochs": 2, "seed": 7})
    with full_disk(limit):
        failed(lambda: grafted.train(settings=settings))
    assert files(grafted.build / "soft_prompt") == before
    assert files(grafted.build).get("answer_form.json") == form
    assert leftovers(grafted.build) == []
    grafted.forget("chain")
    assert grafted.manifest is not None
    assert grafted.train(settings=settings).steps > 0


@pytest.mark.heavy
@pytest.mark.parametrize("limit", [0, 300, 1500])
def test_an_evaluation_keeps_the_report_that_was_there(grafted: Domain, limit: int) -> None:
    page = grafted.build / "reports" / "report.html"
    grafted.evaluate(systems=["quote"])
    write_page(grafted, page, "test")
    before = files(grafted.build / "reports")
    with full_disk(limit):
        failed(lambda: grafted.evaluate(systems=["quote", "template"]))
        assert isinstance(failed(lambda: write_page(grafted, page, "test")), StorageError)
    assert files(grafted.build / "reports") == before


def test_a_scale_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "evidence.json"
    save_scale(default_scale("x"), path)
    before = files(tmp_path)
    for limit in (0, 1, len(before["evidence.json"]) - 1):
        with full_disk(limit):
            failed(lambda: save_scale(default_scale("x"), path))
        assert files(tmp_path) == before
    assert load_scale(path)


def test_a_line_is_added_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "drafts.jsonl"
    append_line(path, json.dumps({"a": 1}))
    before = path.read_bytes()
    for extra in (0, 1, 5, 5000):
        with full_disk(len(before) + extra):
            failed(lambda: append_line(path, json.dumps({"b": "x" * 20_000})))
        assert path.read_bytes() == before
    with full_disk(len(before) + 3):
        failed(lambda: append_line(path, json.dumps({"b": 2})))
    assert path.read_bytes() == before
    append_line(path, json.dumps({"b": 2}))
    assert complete_lines(path) == ['{"a": 1}', '{"b": 2}']


@pytest.mark.heavy
def test_an_exported_conversation_is_whole_or_absent(grafted: Domain, run: Run, tmp_path: Path) -> None:
    grafted.chain.invoke({"question": "What is the fee?"}, config={"configurable": {"thread_id": "anna"}})
    grafted.close()
    path = grafted.folder / "domain.yaml"
    # A page of 200 kB. SQLite itself needs some space to read.
    path.write_text(path.read_text(encoding="utf-8").replace("The house", "house " * 33_000), encoding="utf-8")
    with full_disk(100_000):
        code, _, err = run("threads", "export", str(grafted.folder), "anna", "--output", "anna.md")
    assert code == 2
    assert "cannot be written" in err
    assert not (tmp_path / "anna.md").exists()


def test_the_errors_of_a_full_disk(tmp_path: Path) -> None:
    with full_disk(0):
        error = failed(lambda: (tmp_path / "x").write_bytes(b"x"))
    assert isinstance(error, StorageError)
    with Path("/dev/full").open("w") as full:
        full.write("x")
        assert "the disk is full" in str(failed(full.flush))
        with pytest.raises(OSError, match="No space"):
            full.close()
    assert not issubclass(StorageError, RetrievalError)
