"""Problems of a domain.yaml name their line, and the setting that was probably meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from softgraft.errors import DomainError, UsageError
from softgraft.jobs.create import create_domain
from softgraft.settings.domain_file import DomainFile, read_domain_file

START = "# Settings\nname: shop\ntitle: The shop\n"


def problem(folder: Path, text: str) -> str:
    """The only problem of a file that begins with three good lines."""
    (folder / "domain.yaml").write_text(START + text, encoding="utf-8")
    with pytest.raises(DomainError, match="1 problem in") as caught:
        read_domain_file(folder)
    return caught.value.found.splitlines()[1].strip()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("answr:\n  max_tokens: 9\n", "answr: unknown setting (line 4); did you mean `answer`?"),
        ("answer:\n  max_token: 9\n", "answer.max_token: unknown setting (line 5); did you mean `max_tokens`?"),
        ("language: en\n\nencodr: x\n", "encodr: unknown setting (line 6); did you mean `encoder`?"),
        # It exists, in a section.
        ("max_tokens: 9\n", "max_tokens: unknown setting (line 4); did you mean `answer.max_tokens`?"),
        ("retrieval: {epochs: 9}\n", "retrieval.epochs: unknown setting (line 4); did you mean `train.epochs`?"),
        ("answer:\n  dtype: auto\n", "answer.dtype: unknown setting (line 5); did you mean `dtype`?"),
        ("evidence_treshold: 0.5\n", "evidence_treshold: unknown setting (line 4); did you mean "
         "`retrieval.evidence_threshold`?"),
        ("zzzz: 1\n", "zzzz: unknown setting (line 4)"),
    ],
)  # fmt: skip
def test_an_unknown_setting(tmp_path: Path, text: str, message: str) -> None:
    assert problem(tmp_path, text) == message


def test_an_unknown_setting_of_a_section_lists_the_known_ones(tmp_path: Path) -> None:
    found = problem(tmp_path, "cache:\n  zzzz: 1\n")
    assert found.startswith("cache.zzzz: unknown setting (line 5); expected one of memory_mib, ")


def test_invalid_values_have_their_line(tmp_path: Path) -> None:
    assert problem(tmp_path, "train:\n  epochs: -1\n").endswith("(line 5)")
    assert problem(tmp_path, "retrieval:\n  dense_weight: 0\n  bm25_weight: 0\n").endswith("(line 4)")


def test_a_missing_setting_has_no_line(tmp_path: Path) -> None:
    (tmp_path / "domain.yaml").write_text("name: shop\n", encoding="utf-8")
    with pytest.raises(DomainError, match=r"title: Field required\n"):
        read_domain_file(tmp_path)


@pytest.mark.parametrize("language", ["fr", "english"])
def test_a_language_without_templates_lists_the_others(tmp_path: Path, language: str) -> None:
    found = problem(tmp_path, f"language: {language}\n")
    assert found.startswith("language: ")
    assert repr(language) in found
    assert "(line 4)" in found
    assert "expected one of en, zh" in found


def test_a_domain_may_bring_templates_in_its_language(tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "rag-chat.fr.yaml").write_text("")
    (tmp_path / "domain.yaml").write_text(f"{START}language: fr\n", encoding="utf-8")
    assert read_domain_file(tmp_path) == DomainFile(name="shop", title="The shop", language="fr")


@pytest.mark.parametrize("language", ["fr", "english"])
def test_a_new_domain_in_such_a_language_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "a.md").write_text("# A\n\nText.\n")
    with pytest.raises(UsageError, match=f"no templates in the language '{language}'") as caught:
        create_domain("shop", tmp_path / "papers", language=language)
    assert caught.value.expected == "one of en, zh"
    assert not (tmp_path / "domains").exists()
