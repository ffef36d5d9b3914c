"""Whether the backbone and the encoder of a domain read the language of its documents, and what to do if they do not.

Of the embedded models it is known. Of another backbone it is read off its tokenizer: a tokenizer that was not trained
on a language cuts its text into single bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from evaluation.items import spread
from retrieval import PassageStore
from retrieval.encoders.load import EMBEDDED, PACKAGED, resolved_name
from softgraft.assembly.language import LanguageShare, common_language
from softgraft.settings.domain_file import DomainFile, template_languages

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# By a part of the name: the languages that a model reads; None stands for all that `softgraft.assembly.language` knows.
ENCODERS: Mapping[str, frozenset[str] | None] = {
    "all-minilm": frozenset({"en"}),
    # Trained on a hundred languages (Wang et al. 2024, arXiv:2402.05672).
    "multilingual-e5": None,
}
# SmolLM2 (Allal et al. 2025, arXiv:2502.02737).
EMBEDDED_BACKBONE = frozenset({"en"})
# Tokens per UTF-8 byte above which a tokenizer was hardly trained on a language. One that was trained on a hundred
# languages needs 0.13 to 0.35, one trained on English 0.28 in English and 0.37 to 0.99 in others; see docs/models.md.
UNREAD_TOKENS_PER_BYTE = 0.4
_SAMPLE = 60
_READ_BYTES = 16_384
_TEXT_SUFFIXES = frozenset(
    {".adoc", ".asciidoc", ".csv", ".htm", ".html", ".jsonl", ".markdown", ".md", ".mdx", ".rst", ".tsv", ".txt"}
)
_TAG = re.compile("<[^<>]*>")
_ELSEWHERE = "see docs/models.md#languages"


def sampled_texts(database: Path) -> list[str]:
    """The texts of some passages of an index, evenly spread; none if there is no index."""
    if not database.is_file():
        return []
    with PassageStore.open(database) as store:
        numbers = spread(store.passage_numbers(), _SAMPLE)
        return [passage.text for passage in store.passages_by_number(numbers).values()]


def file_texts(paths: Iterable[Path]) -> list[str]:
    """The beginnings of some text files, evenly spread; formats that need a converter are left out."""
    texts = []
    for path in spread([path for path in paths if path.suffix.lower() in _TEXT_SUFFIXES], _SAMPLE):
        with path.open("rb") as file:
            text = file.read(_READ_BYTES).decode("utf-8", errors="ignore")
        texts.append(_TAG.sub(" ", text))
    return texts


def reading_notes(
    file: DomainFile, texts: Iterable[str], *, encoder: str | None = None, dense: bool = True
) -> list[str]:
    """What the models of a domain cannot read of these texts, what works nevertheless, and what would help.

    Args:
        texts: a sample of the documents.
        encoder: id of the encoder that made the index; by default the one in domain.yaml.
        dense: whether the search uses the encoder's vectors.
    """
    texts = list(texts)
    language = common_language(texts)
    if language is None:
        return []
    notes = [*_backbone_notes(file, language, texts), *_encoder_notes(file, language, encoder, dense)]
    if language.code != file.language and language.code in template_languages():
        notes.append(
            f"the documents are in {language.name} ({language.share:.0%} of a sample), and the templates are not: set "
            f"`language: {language.code}` in domain.yaml"
        )
    return notes


def encoder_reads(name: str, language: str) -> bool | None:
    """Whether the encoder of this name reads a language; None if that is not known."""
    for part, languages in ENCODERS.items():
        if part in name.lower():
            return languages is None or language in languages
    return None


def tokens_per_byte(tokenizer: Tokenizer, texts: Iterable[str]) -> float:
    """Tokens per UTF-8 byte of these texts: at most 0.4 in a language that the tokenizer was trained on."""
    whole = "\n".join(texts)
    return len(tokenizer.encode(whole, add_special_tokens=False).ids) / max(1, len(whole.encode()))


def _backbone_notes(file: DomainFile, language: LanguageShare, texts: list[str]) -> list[str]:
    if file.behind_api:
        return []
    known = language.code in EMBEDDED_BACKBONE if file.backbone == EMBEDDED else None
    why = "which reads English"
    if known is None and (tokenizer := _local_tokenizer(file.backbone)) is not None:
        rate = tokens_per_byte(tokenizer, texts)
        known = rate <= UNREAD_TOKENS_PER_BYTE
        why = f"whose tokenizer needs {rate:.1f} tokens per byte of it (at most 0.4 where it was trained)"
    if known is not False:
        return []
    return [
        f"the documents are in {language.name} ({language.share:.0%} of a sample), and the backbone is "
        f"{file.backbone!r}, {why}: its wording will be wrong. Search and exact quotes work. A backbone that reads "
        f"{language.name} helps, such as `backbone: Qwen/Qwen3-0.6B`; {_ELSEWHERE}"
    ]


def _encoder_notes(file: DomainFile, language: LanguageShare, encoder: str | None, dense: bool) -> list[str]:
    setting = resolved_name(file.encoder)
    name = encoder or (PACKAGED[setting].title if setting in PACKAGED else setting)
    if encoder_reads(name, language.code) is not False:
        return []
    short = name.partition("@")[0]
    found = f"the encoder {short} does not read {language.name}"
    if not dense:
        return [f"{found}, so documents are found by their words alone; {_ELSEWHERE}"]
    return [
        f"{found}. Search by words works: set `retrieval: dense_weight: 0` and `bm25_weight: 1`, or `encoder: e5`, "
        f"and run `softgraft ingest`; {_ELSEWHERE}"
    ]


def _local_tokenizer(backbone: str) -> Tokenizer | None:
    """The tokenizer of a backbone on this machine; None if it is not here, or cannot be read, which its use reports."""
    path = _tokenizer_file(backbone)
    if path is None:
        return None
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(path))
    except Exception:  # noqa: BLE001 -- the library raises no narrower class
        return None


def _tokenizer_file(backbone: str) -> Path | None:
    """The file of a backbone's tokenizer on this machine; it is not downloaded for this."""
    folder = Path(backbone).expanduser()
    if folder.is_dir():
        file = folder / "tokenizer.json"
        return file if file.is_file() else None
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = try_to_load_from_cache(backbone, "tokenizer.json")
    except HFValidationError:
        return None
    return Path(cached) if isinstance(cached, str) else None
