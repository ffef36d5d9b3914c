"""Full-text terms: what SQLite's FTS5 indexes, and the query expressions for it.

FTS5's tokenizer reads a run of CJK characters as one word. So such runs go into a column of overlapping character
pairs, where a two-character word can be found. The same holds for Thai, Lao, Khmer and Burmese, where a letter with its
vowel signs and tones stands for a character.

If these rules change, a migration in `retrieval.store.schema` has to build the full-text table anew.
"""

from __future__ import annotations

import re
import sqlite3
import threading
import unicodedata
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import zip_longest

from retrieval.splitting.scripts import CJK, MARKS, SOUTHEAST_ASIAN
from retrieval.splitting.words import folded, syllables

# Marks are parts of words, which they are not in FTS5 by default.
_UNICODE = "unicode61 categories 'L* N* Co Mn Mc'"
TOKENIZER = f"porter {_UNICODE}"

_UNSPACED_RUN = re.compile(f"[{CJK}]+|[{SOUTHEAST_ASIAN}][{SOUTHEAST_ASIAN}{MARKS}]*")
# Some texts mark where words end with a space of no width.
_WORD_END = re.compile(f"(?<=[{SOUTHEAST_ASIAN}{MARKS}])\u200b+(?=[{SOUTHEAST_ASIAN}])")

# One letter for those that writers of Arabic, Persian and Urdu use for one another: the forms of alef, of ya with alef
# maqsura, of kaf, and of ha with ta marbuta.
_ARABIC_LETTERS = str.maketrans(
    {
        **dict.fromkeys("\u0622\u0623\u0625\u0671\u0672\u0673\u0675", "\u0627"),
        **dict.fromkeys("\u0649\u06cc\u06cd\u06ce\u06d0\u06d2\u06d3", "\u064a"),
        **dict.fromkeys("\u06a9\u06aa", "\u0643"),
        **dict.fromkeys("\u0629\u06be\u06c0\u06c1\u06c2\u06c3\u06d5", "\u0647"),
    }
)
# 10⁵ is not 105.
_POWER = re.compile("(?<=[0-9])(?=[⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹₀₁₂₃₄₅₆₇₈₉])")

# fmt: off
STOP_WORDS = frozenset({
    "a", "about", "after", "again", "all", "also", "am", "an", "and", "any", "are", "as", "at", "be", "because",
    "been", "before", "being", "but", "by", "can", "could", "d", "did", "do", "does", "doing", "don", "for",
    "from", "had", "has", "have", "having", "he", "her", "here", "hers", "him", "his", "how", "i", "if", "in",
    "into", "is", "it", "its", "just", "ll", "m", "may", "me", "might", "more", "most", "must", "my", "no", "nor",
    "not", "of", "on", "once", "only", "or", "other", "our", "ours", "out", "over", "own", "please", "re", "s",
    "same", "shall", "she", "should", "so", "some", "such", "t", "than", "that", "the", "their", "theirs",
    "them", "then", "there", "these", "they", "this", "those", "to", "too", "under", "until", "up", "ve", "very",
    "was", "we", "were", "what", "when", "where", "which", "while", "who", "whom", "whose", "why", "will",
    "with", "would", "you", "your", "yours",
})
# fmt: on


@dataclass(frozen=True, slots=True)
class Term:
    """One query term: its key in the FTS vocabulary, and the expression that matches it."""

    key: str
    expression: str
    is_prefix: bool = False

    def matches(self, keys: Collection[str]) -> bool:
        """Whether the term is among the keys of a text (`Tokenizer.keys`)."""
        return any(key.startswith(self.key) for key in keys) if self.is_prefix else self.key in keys


def searchable(text: str) -> tuple[str, str]:
    """A text as the FTS table stores it: words, and the character pairs of runs without spaces.

    Both are in the form in which words are compared (`folded`), in which superscripts and fractions are plain digits,
    apart from a number before them, and Arabic letters that are used for one another are one.
    """
    normal = _normal(text)
    pairs = (pair for run in _UNSPACED_RUN.findall(normal) for pair in _pairs(run))
    return _UNSPACED_RUN.sub(" ", normal), " ".join(pairs)


class Tokenizer:
    """FTS5's tokenizer as a function, through a table in memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        for name, tokenizer in (("plain", _UNICODE), ("stemmed", TOKENIZER)):
            self._connection.execute(f'CREATE VIRTUAL TABLE {name} USING fts5 (text, tokenize = "{tokenizer}")')
            self._connection.execute(f"CREATE VIRTUAL TABLE {name}_terms USING fts5vocab ({name}, 'instance')")

    def close(self) -> None:
        self._connection.close()

    def query_terms(self, query: str) -> tuple[Term, ...]:
        """The distinct terms of a query in order, without stop words unless there is nothing else."""
        words, bigrams = searchable(query)
        with self._lock:
            pairs = list(zip(self._tokens("plain", words), self._tokens("stemmed", words), strict=True))
        content = [pair for pair in pairs if pair[0] not in STOP_WORDS]
        terms = {stem: Term(stem, f'"{word}"') for word, stem in (content or ([] if bigrams else pairs))}
        for run in _UNSPACED_RUN.findall(_normal(query)):
            if len(run) == 1:
                terms.setdefault(run, Term(run, f'bigrams : "{run}"*', is_prefix=True))
            for key in _pairs(run, whole=True):
                terms.setdefault(key, Term(key, f'bigrams : "{key}"'))
        return tuple(terms.values())

    def keys(self, text: str) -> frozenset[str]:
        """The distinct keys of a text, as the FTS table has them."""
        words, bigrams = searchable(text)
        with self._lock:
            return frozenset((*self._tokens("stemmed", words), *bigrams.split()))

    def _tokens(self, table: str, text: str) -> list[str]:
        # A rollback is faster than deleting the row.
        self._connection.execute("BEGIN")
        try:
            self._connection.execute(f"INSERT INTO {table} (rowid, text) VALUES (1, ?)", (text,))
            rows = self._connection.execute(f"SELECT term FROM {table}_terms ORDER BY offset").fetchall()
        finally:
            self._connection.execute("ROLLBACK")
        # An accent without its letter is a token, and nothing is left of it.
        return [term for (term,) in rows if term]


def _normal(text: str) -> str:
    if text.isascii():
        return text
    plain = unicodedata.normalize("NFKC", _POWER.sub(" ", text))
    return _WORD_END.sub("", folded(plain)).translate(_ARABIC_LETTERS)


def _pairs(run: str, *, whole: bool = False) -> Iterator[str]:
    """Each character with its successor, and each syllable of several code points, which may be a word.

    The last character is alone, so that every character begins a pair; with `whole`, it is left out.
    """
    parts = syllables(run)
    for part, following in zip_longest(parts, parts[1:]):
        if following is not None:
            yield part + following
        if len(part) > 1 or (following is None and not whole):
            yield part
