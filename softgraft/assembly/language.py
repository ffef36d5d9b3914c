"""The language of documents: by their script, and in Latin and Cyrillic script by their most frequent words.

A library would know more languages. It is not needed to tell English from others, see
`benchmarks/results/document_language.json`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from softgraft.assembly.language_words import CYRILLIC, CYRILLIC_WORDS, NAMES, SCRIPTS, WORDS

# Characters of a text that are read; more do not change the result.
_READ = 4000
# Share of the letters in a script from which on the text is in that script. A Japanese text has kana in every
# sentence, but mostly Han in some.
_SCRIPT_SHARE = 0.3
_KANA_SHARE = 0.1
# Share of the words that must be frequent ones, and their number, to name a language.
_WORD_SHARE, _WORD_COUNT = 0.12, 3
UNKNOWN = "und"

_LETTER = re.compile(r"[^\W\d_]")
_WORD = re.compile(r"[^\W\d_]+")
_IN_SCRIPT = {code: re.compile(f"[{ranges}]") for code, ranges in SCRIPTS.items()}
_CYRILLIC = re.compile(f"[{CYRILLIC}]")
_PERSIAN, _URDU = re.compile("[پچژگ]"), re.compile("[ٹڈڑے]")


@dataclass(frozen=True, slots=True)
class LanguageShare:
    """The most common language of some texts: its code (`und` if unknown) and its share of their characters."""

    code: str
    share: float

    @property
    def name(self) -> str:
        return NAMES.get(self.code, "a language that was not recognised")


def language_of(text: str) -> str:
    """ISO 639-1 code of a text's language; `und` if it is too short or in a language that is not known here."""
    text = text[:_READ]
    letters = len(_LETTER.findall(text))
    if letters == 0:
        return UNKNOWN
    for code, pattern in _IN_SCRIPT.items():
        share = len(pattern.findall(text)) / letters
        if share >= (_KANA_SHARE if code == "ja" else _SCRIPT_SHARE):
            return _arabic(text) if code == "ar" else code
    words = _WORD.findall(text.lower())
    if len(_CYRILLIC.findall(text)) / letters >= _SCRIPT_SHARE:
        return _most_frequent(words, CYRILLIC_WORDS)
    return _most_frequent(words, WORDS)


def common_language(texts: Iterable[str]) -> LanguageShare | None:
    """The language of most of these texts, weighted by length; None if no text is long enough to tell."""
    characters: Counter[str] = Counter()
    for text in texts:
        characters[language_of(text)] += min(len(text), _READ)
    known = {code: count for code, count in characters.items() if code != UNKNOWN}
    if not known:
        return None
    code = max(known, key=lambda name: known[name])
    return LanguageShare(code, known[code] / sum(known.values()))


def _most_frequent(words: list[str], lists: Mapping[str, frozenset[str]]) -> str:
    counts = {code: sum(word in frequent for word in words) for code, frequent in lists.items()}
    best = max(counts, key=lambda code: counts[code])
    return best if counts[best] >= max(_WORD_COUNT, _WORD_SHARE * len(words)) else UNKNOWN


def _arabic(text: str) -> str:
    if _URDU.search(text):
        return "ur"
    return "fa" if _PERSIAN.search(text) else "ar"
