"""BM25 by SQLite's FTS5, and how much of a query a passage covers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from retrieval.documents import Passage
from retrieval.store import PassageStore
from retrieval.terms import Term, Tokenizer

# A term in more than this share of the passages costs the most time and tells them apart the least.
_COMMON_SHARE = 0.05
# In a smaller index common terms cost little and still help (docs/retrieval.md), so there a larger share is looked up,
# as long as it is no more than so many passages.
_SMALL_SHARE, _SMALL = 0.2, 2000
# In a tiny index a share is a handful of passages, and pruning would save nothing.
_COMMON_AT_LEAST = 20


def document_frequencies(store: PassageStore, terms: Sequence[Term]) -> dict[Term, int]:
    """In how many passages each term stands."""
    with store.reading() as connection:
        frequencies = {}
        for term in terms:
            if term.is_prefix:
                statement, value = (
                    "SELECT count(*) FROM passages_fts WHERE passages_fts MATCH ?",
                    term.expression,
                )
            else:
                statement, value = "SELECT doc FROM passages_terms WHERE term = ?", term.key
            row = connection.execute(statement, (value,)).fetchone()
            frequencies[term] = int(row[0]) if row is not None else 0
    return frequencies


def match_expression(frequencies: Mapping[Term, int], passages: int) -> str | None:
    """The FTS5 query for those terms worth looking up: any of them may match. None where nothing can."""
    known = {term: frequency for term, frequency in frequencies.items() if frequency}
    limit = max(_COMMON_SHARE * passages, min(_SMALL_SHARE * passages, _SMALL), _COMMON_AT_LEAST)
    rare = [term for term, frequency in known.items() if frequency <= limit]
    return " OR ".join(f"({term.expression})" for term in rare or known) or None


def bm25_scores(store: PassageStore, expression: str) -> dict[int, float]:
    """Passage numbers with their positive BM25 score, all that match, best first."""
    with store.reading() as connection:
        # `rank` is bm25(), computed once a row; asked for row by row, FTS5 would look every term up again.
        rows = connection.execute("SELECT rowid, rank FROM passages_fts WHERE passages_fts MATCH ?", (expression,))
        found = rows.fetchall()
    numbers, ranks = np.array([row[0] for row in found], np.int64), np.array([row[1] for row in found], np.float64)
    order = np.lexsort((numbers, ranks))
    return dict(zip(numbers[order].tolist(), (-ranks[order]).tolist(), strict=True))


def coverages(
    passages: Sequence[Passage], frequencies: Mapping[Term, int], total: int, tokenizer: Tokenizer
) -> list[float]:
    """For each passage the share of the query's idf weight whose terms stand in title, heading or text, in [0, 1].

    A term that stands in none of the `total` passages of the index weighs most: a query about something unknown is
    covered badly by whatever is found for it.
    """
    weights = {
        term.key: math.log1p((max(total - frequency, 0) + 0.5) / (frequency + 0.5))
        for term, frequency in frequencies.items()
    }
    whole = math.fsum(weights.values())
    if whole <= 0.0:
        return [0.0] * len(passages)
    texts = ["\n".join((passage.title, passage.heading, passage.text)) for passage in passages]
    return [
        min(1.0, math.fsum(weight for key, weight in weights.items() if key in keys) / whole)
        for keys in tokenizer.keys(texts)
    ]
