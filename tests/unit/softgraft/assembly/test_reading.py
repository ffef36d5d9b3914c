"""Notes on what the models of a domain cannot read of its documents."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from test_language import TEXTS
from tokenizers import Tokenizer

from soft_prompt import Backbone
from softgraft import Domain
from softgraft.assembly.reading import encoder_reads, file_texts, reading_notes, tokens_per_byte
from softgraft.settings.domain_file import DomainFile

MINILM = "all-MiniLM-L6-v2@sha256:53aa"
E5 = "multilingual-e5-small@sha256:1234"


def notes(text: str, encoder: str = MINILM, *, dense: bool = True, **settings: str) -> list[str]:
    file = DomainFile(name="shop", title="x", **settings)  # type: ignore[arg-type]
    return reading_notes(file, [TEXTS[text]] * 3, encoder=encoder, dense=dense)


def test_english_documents_need_no_note() -> None:
    assert notes("en") == notes("en", E5) == []


def test_french_documents_with_models_that_read_english() -> None:
    backbone, encoder = notes("fr")
    assert "the documents are in French (100% of a sample)" in backbone
    assert "'embedded', which reads English: its wording will be wrong" in backbone
    assert "Search and exact quotes work" in backbone
    assert "Qwen/Qwen3-0.6B" in backbone
    assert "the encoder all-MiniLM-L6-v2 does not read French" in encoder
    assert "dense_weight: 0" in encoder


def test_an_encoder_of_many_languages_needs_no_note() -> None:
    assert [note.partition("(")[0] for note in notes("fr", E5)] == ["the documents are in French "]
    assert encoder_reads(E5, "fr")
    assert encoder_reads(MINILM, "en")
    assert encoder_reads("mine/encoder", "fr") is None


def test_chinese_documents_without_dense_search_and_with_the_other_templates() -> None:
    found = notes("zh", dense=False, language="en")
    assert "found by their words alone" in found[1]
    assert "set `language: zh` in domain.yaml" in found[2]
    assert len(notes("zh", dense=False, language="zh")) == 2


def test_a_model_behind_an_api_is_not_judged() -> None:
    assert notes("fr", E5, backbone="openai:gpt-4o-mini") == []


def test_another_backbone_is_judged_by_its_tokenizer(backbone_folders: tuple[Path, Path]) -> None:
    # The tests' tokenizer has few merges: a token for nearly every byte of any text but its own.
    [note] = notes("ru", E5, backbone=str(backbone_folders[0]))
    assert "whose tokenizer needs 1.0 tokens per byte of it" in note
    assert notes("ru", E5, backbone="nobody/has-this-model") == []


def test_a_tokenizer_that_cannot_be_read_gives_no_note(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    assert notes("ru", E5, backbone=str(tmp_path)) == []


def test_tokens_per_byte_counts_bytes(backbone_folders: tuple[Path, Path], tiny_backbone: Backbone) -> None:
    tokenizer = Tokenizer.from_file(str(backbone_folders[0] / "tokenizer.json"))
    text = "支付"
    assert tokens_per_byte(tokenizer, [text]) == len(tiny_backbone.encode_text(text)) / 6


def test_unreadable_text_gives_no_note() -> None:
    assert reading_notes(DomainFile(name="shop", title="x"), ["12", ""]) == []


def test_the_beginnings_of_text_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<p>Bonjour</p>", encoding="utf-8")
    (tmp_path / "b.md").write_bytes("é".encode("latin-1") + b"t" * 100_000)
    (tmp_path / "c.pdf").write_bytes(b"%PDF")
    html, text = file_texts(sorted(tmp_path.iterdir()))
    assert html.split() == ["Bonjour"]
    assert set(text) == {"t"}
    assert len(text) < 20_000


@pytest.mark.heavy
def test_status_reports_the_language_of_the_index(make_domain: Callable[..., Domain]) -> None:
    domain = make_domain()
    for file in domain.docs.rglob("*.md"):
        file.write_text(f"# Carte\n\n{TEXTS['fr']}\n", encoding="utf-8")
    domain.ingest()
    # The tests' tokenizer has few merges for any language; their encoder is not in the table.
    [french] = domain.status()["reading"]
    assert french.startswith("the documents are in French (")
    [english] = make_domain("english", ingest=True).status()["reading"]
    assert english.startswith("the documents are in English (100% of a sample)")
