"""Domains that stay open while they are used, and new versions of them."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from house_domain import opened
from live_server import QUESTION, QUOTE, two_domains

from chains import ClosedError
from softgraft import Domain
from softgraft.errors import DomainError, UnknownDomainError, UsageError
from softgraft.server import served as served_module
from softgraft.server.callers import Caller, calling, shown_thread, stored_thread
from softgraft.server.links import document_path, document_url
from softgraft.server.served import ServedDomains, served_folders

STRANGE = "Who composed the opera about the emperor of the moon?"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, backbone_folders: tuple[Path, Path]) -> dict[str, Path]:
    """Copied, never changed."""
    return two_domains(tmp_path_factory.mktemp("made"), backbone_folders[0])


@pytest.fixture
def folders(made: dict[str, Path], tmp_path: Path) -> dict[str, Path]:
    return {name: Path(shutil.copytree(folder, tmp_path / name)) for name, folder in made.items()}


@pytest.fixture
def served(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[ServedDomains]:
    monkeypatch.setattr(served_module, "open_domain", opened)
    served = ServedDomains(folders, check_seconds=0.0)
    yield served
    served.close()


def change(folder: Path, **settings: Any) -> None:
    """Change domain.yaml, some time ago: a change of this moment may be one of several."""
    path = folder / "domain.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **settings}))
    age(path)


def age(path: Path) -> None:
    before = time.time() - 5
    os.utime(path, (before, before))


def refusal(served: ServedDomains) -> str:
    with served.open("quotes", load=True) as domain:
        answer: str = domain.chain.invoke({"question": STRANGE})["answer"]
        return answer


def test_a_domain_is_opened_once(served: ServedDomains) -> None:
    with served.open("quotes") as first, served.open("quotes") as second:
        assert first is second
        assert "chain" not in first.__dict__
    with served.open("quotes", load=True) as third:
        assert third is first
        assert "chain" in third.__dict__


def test_an_unknown_domain_is_an_error_that_lists_the_others(served: ServedDomains) -> None:
    with pytest.raises(UnknownDomainError, match="quotes, words"), served.open("missing"):
        pass
    assert served.names() == ["quotes", "words"]


def test_a_changed_domain_serves_later_users(served: ServedDomains, folders: dict[str, Path]) -> None:
    before = refusal(served)
    with served.open("quotes", load=True) as old:
        change(folders["quotes"], refusal="Ask somebody else.")
        assert refusal(served) == "Ask somebody else." != before
        # This user goes on with what it started with.
        assert old.chain.invoke({"question": STRANGE})["answer"] == before
        chain = old.chain
    # The last user has left.
    with pytest.raises(ClosedError):
        chain.invoke({"question": STRANGE})
    assert refusal(served) == "Ask somebody else."


def test_each_load_is_announced(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served_module, "open_domain", opened)
    loaded: list[str] = []
    served = ServedDomains(folders, check_seconds=0.0, on_loaded=lambda: loaded.append("loaded"))
    served.preload()
    assert loaded == ["loaded"]
    change(folders["quotes"], refusal="Ask somebody else.")
    assert refusal(served) == "Ask somebody else."
    assert loaded == ["loaded", "loaded"]
    served.close()


def test_a_new_soft_prompt_is_a_new_version(
    trained: tuple[Path, Any], folders: dict[str, Path], served: ServedDomains
) -> None:
    with served.open("words", load=True) as domain:
        assert domain.graft != "soft"
    # As training ends: the folder of the soft prompt is moved into place.
    shutil.copytree(trained[0] / "build" / "soft_prompt", folders["words"] / "build" / "soft_prompt")
    with served.open("words", load=True) as domain:
        # It may have come a moment ago, with more to follow.
        pass
    age(folders["words"] / "build" / "soft_prompt" / "manifest.json")
    with served.open("words", load=True) as newer:
        assert newer is not domain
        assert newer.chat_model.graft == "soft"


def test_new_documents_are_found_without_a_new_version(served: ServedDomains, folders: dict[str, Path]) -> None:
    question = "What does a golden locker cost?"
    with served.open("quotes", load=True) as domain:
        assert domain.chain.invoke({"question": question})["refused"]
        (folders["quotes"] / "docs" / "lockers.md").write_text("# Lockers\n\nA golden locker costs 70 euros.\n")
        other = opened(folders["quotes"])
        other.ingest()
        other.close()
        assert "70 euros" in domain.chain.invoke({"question": question})["answer"]


def test_a_version_that_cannot_be_opened_is_not_used(served: ServedDomains, folders: dict[str, Path]) -> None:
    before = refusal(served)
    change(folders["quotes"], backbone=7)
    assert refusal(served) == before
    assert "backbone" in served.problems()["quotes"]
    assert served.usable == 2
    change(folders["quotes"], backbone="embedded", refusal="It is mended.")
    assert refusal(served) == "It is mended."
    assert served.problems() == {}


def test_a_domain_without_an_index_is_a_problem(served: ServedDomains, folders: dict[str, Path]) -> None:
    shutil.rmtree(folders["words"] / "build" / "index")
    served.preload()
    assert list(served.problems()) == ["words"]
    assert served.usable == 1
    # Its documents and conversations need no index.
    with served.open("words") as domain:
        assert domain.conversations.threads() == []


def test_a_domain_that_cannot_be_opened_is_a_problem(served: ServedDomains, folders: dict[str, Path]) -> None:
    change(folders["words"], backbone=7)
    served.preload()
    assert "backbone" in served.problems()["words"]
    assert served.usable == 1
    change(folders["words"], backbone="embedded")
    with served.open("words"):
        pass
    assert served.problems() == {}
    assert served.usable == 2


def test_a_bug_in_one_domain_is_a_problem_of_that_domain(
    served: ServedDomains, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(domain: Domain) -> None:
        if domain.folder == folders["words"]:
            raise RuntimeError("out of memory on the device")

    monkeypatch.setattr(served_module, "warm_up", fails)
    served.preload()
    assert "RuntimeError" in served.problems()["words"]
    assert served.usable == 1
    # An answer shows that it works after all.
    with served.open("words", load=True):
        assert served.problems() == {}


def test_a_bug_in_a_new_version_leaves_the_old_one(
    served: ServedDomains, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = refusal(served)

    def fails(folder: Path) -> Domain:
        raise RuntimeError("out of memory on the device")

    monkeypatch.setattr(served_module, "open_domain", fails)
    change(folders["quotes"], refusal="Ask somebody else.")
    assert refusal(served) == before
    assert "RuntimeError" in served.problems()["quotes"]
    assert served.usable == 2


def test_a_closed_server_loads_no_further_domain(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []

    def opened_while_closing(folder: Path) -> Domain:
        names.append(folder.name)
        # A signal comes while the first domain loads.
        served.close()
        return opened(folder)

    monkeypatch.setattr(served_module, "open_domain", opened_while_closing)
    served = ServedDomains(folders)
    served.preload()
    assert names == ["quotes"]
    served.close()


async def test_a_cancelled_user_leaves_nothing_open(served: ServedDomains, folders: dict[str, Path]) -> None:
    async def use() -> None:
        async with served.aopen("quotes"):
            raise AssertionError("it was cancelled before")

    task = asyncio.create_task(use())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with served.aopen("quotes") as domain:
        assert QUOTE in (await domain.chain.ainvoke({"question": QUESTION}))["answer"]
    served.close()
    # No user is left, so it was closed.
    assert "chain" not in domain.__dict__


def test_callers_see_their_domains_and_conversations(served: ServedDomains) -> None:
    with calling(Caller("anna", frozenset({"words"}))):
        assert served.names() == ["words"]
        with pytest.raises(UnknownDomainError, match="words"), served.open("quotes"):
            pass
        assert shown_thread(stored_thread("a/b")) == "a/b"
        assert shown_thread("bert/a") is None
    assert stored_thread("1") == shown_thread("1") == "1"


def test_a_link_names_domain_document_and_span() -> None:
    assert document_path("bank", "a/b?c#d e", 3, 9) == "/#/bank/document/a%2Fb%3Fc%23d%20e?start=3&end=9"
    assert (
        document_url("http://127.0.0.1:1/", "bank", "é", 0, 1)
        == "http://127.0.0.1:1/#/bank/document/%C3%A9?start=0&end=1"
    )


def test_the_domains_to_serve(folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert served_folders([str(folders["quotes"])]) == {"quotes": folders["quotes"]}
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="softgraft new"):
        served_folders([])
    with pytest.raises(DomainError):
        served_folders(["missing"])
    (tmp_path / "domains").mkdir()
    for name, task in (("b", "chat"), ("a", "chat"), ("labels", "classification")):
        (tmp_path / "domains" / name).mkdir()
        (tmp_path / "domains" / name / "domain.yaml").write_text(f"name: {name}\ntitle: {name}\ntask: {task}\n")
    # A task without questions is left out, unless it is asked for.
    assert list(served_folders([])) == ["a", "b"]
    with pytest.raises(UsageError, match="classification"):
        served_folders(["labels"])
    shutil.copytree(tmp_path / "domains" / "a", tmp_path / "other" / "a")
    with pytest.raises(UsageError, match="the name a"):
        served_folders(["a", "other/a"])
