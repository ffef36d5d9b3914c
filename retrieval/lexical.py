"""BM25 by SQLite's FTS5, and how much of a query a passage covers."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np

from retrieval.store import PassageStore
from retrieval.terms import Term

# A term in more than this share of the passages costs the most time and tells them apart the least.
_COMMON_SHARE = 0.05
# In a smaller index common terms cost little and still help (docs/retrieval.md), so there a larger share is looked up,
# as long as it is no more than so many passages.
_SMALL_SHARE, _SMALL = 0.2, 2000
# In a tiny index a share is a handful of passages, and pruning would save nothing.
_COMMON_AT_LEAST = 20
# SQLite takes a limited number of parameters in a statement.
_AT_ONCE = 5000


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


def neighbours(store: PassageStore, numbers: Sequence[int]) -> dict[int, tuple[int, ...]]:
    """The numbers of the passages just before and behind each numbered one in its document, where there are any."""
    beside = "(SELECT number FROM passages WHERE doc_id = p.doc_id AND start {} p.start ORDER BY start {} LIMIT 1)"
    statement = (
        f"SELECT p.number, {beside.format('<', 'DESC')}, {beside.format('>', 'ASC')} "
        "FROM passages AS p WHERE p.number IN"
    )
    found: dict[int, tuple[int, ...]] = {}
    with store.reading() as connection:
        for marks, some in _portions(numbers):
            for number, *both in connection.execute(f"{statement} ({marks})", some):
                found[number] = tuple(one for one in both if one is not None)
    return found


def _portions(numbers: Sequence[int]) -> Iterator[tuple[str, Sequence[int]]]:
    """Question marks for so many numbers as a statement takes, and these numbers."""
    for first in range(0, len(numbers), _AT_ONCE):
        some = numbers[first : first + _AT_ONCE]
        yield ", ".join("?" * len(some)), some


def coverage(keys: Collection[str], frequencies: Mapping[Term, int], passages: int) -> float:
    """The share of the query's idf weight that lies in the terms with these keys, in [0, 1].

    A term that stands in no passage weighs most: a query about something unknown is covered badly by
    whatever is found for it.
    """
    weights = {
        term: math.log1p((max(passages - frequency, 0) + 0.5) / (frequency + 0.5))
        for term, frequency in frequencies.items()
    }
    total = math.fsum(weights.values())
    if total <= 0.0:
        return 0.0
    return min(1.0, math.fsum(weight for term, weight in weights.items() if term.key in keys) / total)
