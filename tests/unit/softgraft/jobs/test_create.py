"""Creating domains from folders of documents and from data folders."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from house_domain import item, write_items

from evaluation import ItemsError, read_items
from softgraft.errors import DomainError, UsageError
from softgraft.jobs.create import create_domain
from softgraft.settings.domain_file import read_domain_file


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def leaflets(working_folder: Path) -> Path:
    folder = working_folder / "leaflets"
    (folder / "cards").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    for name in ("fees.md", "cards/lost.TXT", "page.html", "picture.png", ".hidden/secret.md", ".draft.md"):
        (folder / name).write_text(f"About {name}.\n")
    return folder


@pytest.fixture
def data(working_folder: Path) -> Path:
    folder = working_folder / "data"
    folder.mkdir()
    rows = [{"id": f"d{n}", "title": "T", "text": f"Text {n}.", "group": "g"} for n in range(3)]
    (folder / "docs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_items(folder / "train.jsonl", [item(n, "What?", group=f"g{n // 2}", response="") for n in range(40)])
    write_items(folder / "test.jsonl", [item(n, "What?", response="") for n in range(5)])
    return folder


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_folder_of_documents_becomes_a_domain(leaflets: Path) -> None:
    made = create_domain("shop", leaflets, title="The shop")
    assert made == {
        "domain": "shop",
        "folder": "domains/shop",
        "documents": 3,
        "questions": {},
        "template": "rag-chat",
        "task": "chat",
        "labels": 0,
        "ignored_columns": {},
        "reading": [],
        "left_out": [],
        "skipped": {".png": 1},
    }
    folder = Path("domains/shop")
    assert files(folder) == ["docs/cards/lost.TXT", "docs/fees.md", "docs/page.html", "domain.yaml"]
    assert (folder / "docs/fees.md").read_text() == "About fees.md.\n"
    file = read_domain_file(folder)
    assert (file.name, file.title, file.backbone, file.language) == ("shop", "The shop", "embedded", "en")
    assert files(leaflets) == sorted(
        ["fees.md", "cards/lost.TXT", "page.html", "picture.png", ".hidden/secret.md", ".draft.md"]
    )


def test_a_data_folder_becomes_a_domain_with_questions(data: Path) -> None:
    made = create_domain("covid", data)
    assert made["questions"] == {"train": 30, "test": 5, "dev": 10}
    # Short answers and no responses: the task is to quote.
    assert made["template"] == "extractive-qa"
    folder = Path("domains/covid")
    assert files(folder) == ["dev.jsonl", "docs/docs.jsonl", "domain.yaml", "test.jsonl", "train.jsonl"]
    train, dev = read_items(folder / "train.jsonl"), read_items(folder / "dev.jsonl")
    assert not {entry.group for entry in train} & {entry.group for entry in dev}
    assert sorted(entry.id for entry in [*train, *dev]) == sorted(f"q{n}" for n in range(40))
    assert read_items(folder / "test.jsonl") == read_items(data / "test.jsonl")


def test_the_dev_split_is_deterministic(data: Path) -> None:
    for name in ("one", "two"):
        create_domain(name, data)
    for split in ("train", "dev"):
        assert Path(f"domains/one/{split}.jsonl").read_bytes() == Path(f"domains/two/{split}.jsonl").read_bytes()


def test_an_existing_dev_set_is_used(data: Path) -> None:
    write_items(data / "dev.jsonl", [item(900, "Dev?", response="")])
    assert create_domain("covid", data)["questions"] == {"train": 40, "dev": 1, "test": 5}


def test_questions_with_responses_make_a_chat_domain(data: Path) -> None:
    write_items(data / "test.jsonl", [item(1, "What?", response="It is 12.")])
    assert create_domain("house", data)["template"] == "rag-chat"


def test_questions_beside_documents_are_used(leaflets: Path) -> None:
    write_items(leaflets / "test.jsonl", [item(1, "What?")])
    made = create_domain("shop", leaflets)
    assert (made["documents"], made["questions"]) == (3, {"test": 1})
    assert "docs/test.jsonl" not in files(Path("domains/shop"))


@pytest.mark.parametrize(
    ("name", "folder"),
    [("shop", "domains/shop"), ("./shop", "shop"), ("other/shop", "other/shop"), ("/abs/shop", "abs/shop")],
)
def test_a_name_goes_under_domains_and_a_path_stays(
    leaflets: Path, working_folder: Path, name: str, folder: str
) -> None:
    name = name.replace("/abs", str(working_folder / "abs"))
    create_domain(name, leaflets)
    assert (working_folder / folder / "domain.yaml").is_file()


def test_a_chinese_domain(leaflets: Path) -> None:
    create_domain("shop", leaflets, language="zh")
    file = read_domain_file(Path("domains/shop"))
    assert file.language == "zh"
    assert "文档" in file.refusal


def test_files_that_no_reader_knows_are_counted(leaflets: Path) -> None:
    for name in ("a.png", "b.PNG", "sub/c.svg", "Makefile"):
        (leaflets / name).parent.mkdir(exist_ok=True)
        (leaflets / name).write_bytes(b"x")
    assert create_domain("shop", leaflets)["skipped"] == {".png": 3, ".svg": 1, "": 1}


def test_an_existing_domain_is_not_changed(leaflets: Path) -> None:
    create_domain("shop", leaflets)
    Path("domains/shop/domain.yaml").write_text("mine")
    with pytest.raises(DomainError, match="already exists"):
        create_domain("shop", leaflets)
    assert Path("domains/shop/domain.yaml").read_text() == "mine"


@pytest.mark.parametrize("source", ["empty", "nowhere", "pictures"])
def test_a_source_without_documents_is_refused(working_folder: Path, source: str) -> None:
    (working_folder / "empty").mkdir()
    (working_folder / "pictures").mkdir()
    (working_folder / "pictures" / "a.png").write_bytes(b"x")
    with pytest.raises(UsageError, match=f"no (documents in|folder) .*{source}") as caught:
        create_domain("shop", working_folder / source)
    assert ("only files with .png" in caught.value.found) == (source == "pictures")
    assert ".md" in caught.value.expected
    assert "--from" in caught.value.next_step
    assert not Path("domains").exists()


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_a_broken_question_file_writes_nothing(data: Path, split: str) -> None:
    with (data / f"{split}.jsonl").open("a") as file:
        file.write("{no json\n")
    with pytest.raises(ItemsError, match=rf"{split}\.jsonl: Invalid JSON"):
        create_domain("covid", data)
    assert not Path("domains").exists()


@pytest.mark.parametrize(
    ("name", "settings"),
    [("my shop", {}), ("sh*p", {}), ("..", {}), ("", {}), (".", {}), ("shop", {"language": "english"})],
)
def test_invalid_names_and_languages_are_refused(leaflets: Path, name: str, settings: dict[str, Any]) -> None:
    with pytest.raises((UsageError, DomainError)):
        create_domain(name, leaflets, **settings)
    assert not Path("domains").exists()


def test_a_failed_creation_leaves_nothing(leaflets: Path) -> None:
    Path("domains").mkdir()
    Path("domains/shop.txt").write_text("x")
    with pytest.raises(OSError, match=r"domain|Not a directory"):
        create_domain("domains/shop.txt/inside", leaflets)
    assert files(Path("domains")) == ["shop.txt"]


def test_questions_may_be_csv_and_unknown_columns_are_named(leaflets: Path) -> None:
    rows = ["Question,answers,doc_id,author", "What does it cost?,6 pounds|£6,fees.md,Ann", "And abroad?,,,Ben"]
    (leaflets / "train.csv").write_text("\n".join(rows))
    (leaflets / "test.jsonl").write_text('{"question": "What?", "answers": "9", "page": 3}\n')
    made = create_domain("shop", leaflets)
    assert (made["documents"], made["questions"]) == (3, {"train": 2, "test": 1})
    assert made["ignored_columns"] == {"train.csv": ["author"], "test.jsonl": ["page"]}
    [first, _] = read_items(Path("domains/shop/train.jsonl"))
    assert (first.question, first.answers, first.doc_id) == ("What does it cost?", ("6 pounds", "£6"), "fees.md")


def test_links_that_leave_the_folder_are_not_copied(leaflets: Path, working_folder: Path) -> None:
    (working_folder / "outside").mkdir()
    (working_folder / "outside" / "secret.md").write_text("swordfish")
    (leaflets / "notes.md").symlink_to("../outside/secret.md")
    (leaflets / "more").symlink_to("../outside")
    (leaflets / "same.md").symlink_to("fees.md")
    (leaflets / "nothing.md").symlink_to("nowhere.md")
    os.mkfifo(leaflets / "pipe.md")
    made = create_domain("shop", leaflets)
    assert made["documents"] == 4
    assert {name: why.split(". ")[0] for name, why in made["left_out"]} == {
        "more": "more links to a place outside the docs folder",
        "notes.md": "notes.md links to a place outside the docs folder",
        "nothing.md": "nothing.md is a broken link",
        "pipe.md": "pipe.md is not a regular file",
    }
    assert not any("swordfish" in path.read_text() for path in Path("domains/shop").rglob("*") if path.is_file())
    assert not (Path("domains/shop") / "docs" / "same.md").is_symlink()


@pytest.mark.parametrize("name", ["docs.jsonl", "train.jsonl"])
def test_a_data_file_that_links_elsewhere_is_refused(data: Path, working_folder: Path, name: str) -> None:
    (data / name).rename(working_folder / "elsewhere.jsonl")
    (data / name).symlink_to(working_folder / "elsewhere.jsonl")
    with pytest.raises(UsageError, match=rf"{name} links to a place outside"):
        create_domain("covid", data)
    assert not Path("domains/covid").exists()


def test_the_command_names_what_was_left_out(leaflets: Path, run: Callable[..., tuple[int, str, str]]) -> None:
    (leaflets / "notes.md").symlink_to("/etc/hostname")
    code, out, err = run("new", "shop", "--from", str(leaflets))
    assert (code, out.splitlines()[0]) == (0, "created domains/shop: 3 document files, questions: none")
    assert err.startswith("left out: notes.md: notes.md links to a place outside the docs folder. ")
    code, out, err = run("new", "shop-again", "--from", str(leaflets), "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["left_out"][0][0] == "notes.md"
