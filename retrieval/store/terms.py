"""Words as SQLite's FTS5 sees them, and the query expressions made of them.

FTS5's own tokenizer reads a run of Chinese or Japanese as one word, so such runs go into a column of
overlapping pairs of characters, in which a two-character word is found.
"""

from __future__ import annotations

import re
import sqlite3
import threading
import unicodedata
from dataclasses import dataclass
from typing import NamedTuple

TOKENIZER = "porter unicode61"

# Han, kana, and Hangul, whose words carry endings that no English stemmer takes off.
_CJK = (
    "\u3005\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f"
    "\uac00-\ud7a3\u1100-\u11ff\U00020000-\U0003134f"
)
_CJK_RUN = re.compile(f"[{_CJK}]+")

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


class Searchable(NamedTuple):
    """A text as the FTS table holds it: its words, and the character pairs of its CJK runs."""

    words: str
    bigrams: str


@dataclass(frozen=True, slots=True)
class Term:
    """One query term: how it stands in the FTS vocabulary, and the expression that matches it."""

    key: str
    expression: str
    is_prefix: bool = False


def searchable(text: str) -> Searchable:
    """Splits a text for the FTS table. Compatibility forms (full-width letters) become the plain ones."""
    normal = unicodedata.normalize("NFKC", text)
    bigrams = " ".join(pair for run in _CJK_RUN.findall(normal) for pair in _pairs(run))
    return Searchable(words=_CJK_RUN.sub(" ", normal), bigrams=bigrams)


class Tokenizer:
    """FTS5's tokenizer as a function: a text goes into a table in memory, its terms come out."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        for name, tokenizer in (("plain", "unicode61"), ("stemmed", TOKENIZER)):
            self._connection.execute(f"CREATE VIRTUAL TABLE {name} USING fts5 (text, tokenize = '{tokenizer}')")
            self._connection.execute(f"CREATE VIRTUAL TABLE {name}_terms USING fts5vocab ({name}, 'instance')")

    def close(self) -> None:
        self._connection.close()

    def query_terms(self, query: str) -> tuple[Term, ...]:
        """The different terms of a query, in order, without stop words unless it holds nothing else."""
        words, bigrams = searchable(query)
        with self._lock:
            pairs = list(zip(self._tokens("plain", words), self._tokens("stemmed", words), strict=True))
        telling = [pair for pair in pairs if pair[0] not in STOP_WORDS]
        found = {stem: Term(stem, f'"{word}"') for word, stem in (telling or ([] if bigrams else pairs))}
        for run in _CJK_RUN.findall(unicodedata.normalize("NFKC", query)):
            if len(run) == 1:
                found.setdefault(run, Term(run, f'bigrams : "{run}"*', is_prefix=True))
            for pair_of_characters in _pairs(run)[: len(run) - 1]:
                found.setdefault(pair_of_characters, Term(pair_of_characters, f'bigrams : "{pair_of_characters}"'))
        return tuple(found.values())

    def _tokens(self, table: str, text: str) -> list[str]:
        # A transaction that is given up is faster than deleting the row.
        self._connection.execute("BEGIN")
        try:
            self._connection.execute(f"INSERT INTO {table} (rowid, text) VALUES (1, ?)", (text,))
            rows = self._connection.execute(f"SELECT term FROM {table}_terms ORDER BY offset").fetchall()
        finally:
            self._connection.execute("ROLLBACK")
        return [term for (term,) in rows]


def _pairs(run: str) -> list[str]:
    """Every character with the one that follows it; the last stands alone, so that each begins a pair."""
    return [run[position : position + 2] for position in range(len(run))]
