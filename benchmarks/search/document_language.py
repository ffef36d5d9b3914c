"""How often the language of a document is recognised: Softgraft's word lists, py3langid, lingua, and always English.

    python -m benchmarks.search.document_language --translations DIR

The texts are translations of one program's messages, joined to documents: a folder with LANGUAGE/LC_MESSAGES/*.po, such
as django/conf/locale and django/contrib/admin/locale of Django's source. py3langid and lingua are measured if they are
installed. The same texts show how many tokens per byte a tokenizer needs in each language: the embedded backbone's,
trained on English, and that of multilingual-e5-small, trained on a hundred languages.
"""

from __future__ import annotations

import ast
import importlib.util
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import script

PACKAGES = ("py3langid", "lingua-language-detector", "tokenizers", "softgraft")
SIZES = (200, 1000)
# At least this many documents of the smaller size, or a language is left out.
FEWEST = 5
# At most this many documents of a language and size.
MOST = 20
Detector = Callable[[str], str]


def main() -> None:
    """Measure all detectors and print a table."""
    parser = script.make_parser(__doc__)
    parser.add_argument("--translations", type=Path, nargs="+", required=True, help="folders of translations")
    options = parser.parse_args()
    from tokenizers import Tokenizer

    from soft_prompt.model.weights import prepared_folder
    from softgraft.assembly.language_words import NAMES
    from softgraft.assembly.reading import UNREAD_TOKENS_PER_BYTE, tokens_per_byte

    texts = {code: text for code, text in read_translations(options.translations).items() if code in NAMES}
    documents = {size: {code: cut(text, size)[:MOST] for code, text in texts.items()} for size in SIZES}
    kept = sorted(code for code, found in documents[SIZES[0]].items() if len(found) >= FEWEST)
    tokenizers = {
        "SmolLM2-135M-Instruct": Tokenizer.from_file(str(prepared_folder() / "tokenizer.json")),
        "multilingual-e5-small": multilingual_tokenizer(),
    }
    rates = {
        name: {code: round(tokens_per_byte(tokenizer, [texts[code]]), 3) for code in kept}
        for name, tokenizer in tokenizers.items()
    }
    for name, by_language in rates.items():
        print(f"tokens per byte, {name}:", dict(sorted(by_language.items(), key=lambda entry: entry[1])), flush=True)
    head = script.results_head({"sizes": SIZES, "most": MOST, "threshold": UNREAD_TOKENS_PER_BYTE}, PACKAGES)
    path = options.out or script.RESULTS / "document_language.json"
    rows: list[dict[str, Any]] = []
    for name, detect in detectors().items():
        for size in SIZES:
            row = {"detector": name, "characters": size, **score(detect, documents[size], kept)}
            print(f"{name:<10} {size:>5}: {row['accuracy']:.3f}, or English {row['english_or_not']:.3f}", flush=True)
            rows.append(row)
            finished = {"benchmark": "document_language", "finished": script.utc_now(), **head, "languages": kept}
            script.write_results(path, {**finished, "rows": rows, "tokens_per_byte": rates})


def detectors() -> dict[str, Detector]:
    """The detectors that are installed."""
    from softgraft.assembly.language import language_of

    found: dict[str, Detector] = {"english": lambda text: "en", "softgraft": language_of}
    if importlib.util.find_spec("py3langid"):
        langid = importlib.import_module("py3langid")
        found["py3langid"] = lambda text: str(langid.classify(text)[0])
    if importlib.util.find_spec("lingua"):
        lingua = importlib.import_module("lingua")
        detector = lingua.LanguageDetectorBuilder.from_all_languages().build()

        def detect(text: str) -> str:
            language = detector.detect_language_of(text)
            return language.iso_code_639_1.name.lower() if language else "und"

        found["lingua"] = detect
    return found


def multilingual_tokenizer() -> Any:
    """The pieces of multilingual-e5-small, a tokenizer that was trained on a hundred languages."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    from retrieval.encoders.e5_file import read_e5_file
    from retrieval.encoders.load import E5, PACKAGED

    file = read_e5_file(PACKAGED[E5].checked_file())
    tokenizer = Tokenizer(models.Unigram(list(file.pieces), unk_id=file.unknown_id))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return tokenizer


def score(detect: Detector, documents: Mapping[str, Sequence[str]], kept: Sequence[str]) -> dict[str, Any]:
    """Mean over languages of the share that is recognised, and of texts classified correctly as English or not."""
    started = time.perf_counter()
    detected = {code: [detect(text) for text in documents[code]] for code in kept}
    seconds = time.perf_counter() - started
    by_language = {code: sum(found == code for found in detected[code]) / len(detected[code]) for code in kept}
    english = [(found == "en") == (code == "en") for code in kept for found in detected[code]]
    count = len(english)
    return {
        "accuracy": sum(by_language.values()) / len(by_language),
        "english_or_not": sum(english) / count,
        "english": by_language.get("en"),
        "documents": count,
        "milliseconds": 1000 * seconds / count,
        "by_language": {code: round(share, 3) for code, share in by_language.items()},
    }


def read_translations(folders: Sequence[Path]) -> dict[str, str]:
    """The translated messages of each language, one per line; English from the messages themselves."""
    texts: dict[str, list[str]] = {}
    for folder in folders:
        for file in sorted(folder.glob("*/LC_MESSAGES/*.po")):
            locale = file.parts[-3]
            code = {"nb": "no", "zh_Hans": "zh"}.get(locale, locale)
            field = "msgid" if code == "en" else "msgstr"
            texts.setdefault(code, []).extend(messages(file.read_text(encoding="utf-8"), field))
    return {code: "\n".join(dict.fromkeys(found)) for code, found in texts.items()}


def messages(text: str, field: str) -> list[str]:
    """The messages of one field of a .po file."""
    found: list[str] = []
    current = ""
    for line in [*text.splitlines(), ""]:
        name, _, quoted = line.partition(" ")
        if line.startswith('"'):
            if current == field and found:
                found[-1] += str(ast.literal_eval(line))
            continue
        current = name.partition("[")[0]
        if current == field and quoted.startswith('"'):
            found.append(str(ast.literal_eval(quoted)))
    # The first one is the header.
    return [message for message in found if message and "Content-Type:" not in message]


def cut(text: str, size: int) -> list[str]:
    """Documents of at least this many characters, in whole lines; the rest is left out."""
    documents, current = [], ""
    for line in text.splitlines():
        current += f"{line}\n"
        if len(current) >= size:
            documents.append(current)
            current = ""
    return documents


if __name__ == "__main__":
    main()
