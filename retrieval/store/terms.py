"""Full-text terms: what SQLite's FTS5 indexes, and the query expressions for it.

FTS5's tokenizer reads a run of CJK characters as one word. So such runs go into a column of overlapping character
pairs, where a two-character word can be found.
"""

from __future__ import annotations

import re
import sqlite3
import threading
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass

from retrieval.splitting.scripts import CJK

TOKENIZER = "porter unicode61"

_CJK_RUN = re.compile(f"[{CJK}]+")

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
    """A text as the FTS table stores it: words, and the character pairs of CJK runs.

    Compatibility forms, such as full-width letters, are normalised.
    """
    normal = unicodedata.normalize("NFKC", text)
    return _CJK_RUN.sub(" ", normal), " ".join(pair for run in _CJK_RUN.findall(normal) for pair in _pairs(run))


class Tokenizer:
    """FTS5's tokenizer as a function, through a table in memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        for name, tokenizer in (("plain", "unicode61"), ("stemmed", TOKENIZER)):
            self._connection.execute(f"CREATE VIRTUAL TABLE {name} USING fts5 (text, tokenize = '{tokenizer}')")
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
        for run in _CJK_RUN.findall(unicodedata.normalize("NFKC", query)):
            if len(run) == 1:
                terms.setdefault(run, Term(run, f'bigrams : "{run}"*', is_prefix=True))
            for bigram in _pairs(run)[: len(run) - 1]:
                terms.setdefault(bigram, Term(bigram, f'bigrams : "{bigram}"'))
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
        return [term for (term,) in rows]


def _pairs(run: str) -> list[str]:
    """Each character with its successor; the last one alone, so that every character begins a pair."""
    return [run[position : position + 2] for position in range(len(run))]
