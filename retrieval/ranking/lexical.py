"""BM25 by SQLite's FTS5, and how much of a query a passage covers."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence

from retrieval.store.store import PassageStore
from retrieval.store.terms import Term

# A term in more than this share of the passages costs the most time and tells them apart the least. It counts beyond
# 100,000 of them; no set that large with questions was at hand, so the share was chosen for its time.
_COMMON_SHARE = 0.02
# In a smaller index common terms cost little and still help (docs/retrieval.md), so there a larger share is looked up,
# as long as it is no more than so many passages.
_SMALL_SHARE, _SMALL = 0.2, 2000
# In a tiny index a share is a handful of passages, and pruning would save nothing.
_COMMON_AT_LEAST = 20
# The plus keeps SQLite from looking the rows up one by one, for each of which BM25 would count all matches anew.
_ALL_AT_ONCE = "+rowid"
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


def bm25_ranking(store: PassageStore, expression: str, limit: int) -> dict[int, float]:
    """Passage numbers with their positive BM25 score, best first."""
    with store.reading() as connection:
        rows = connection.execute(
            "SELECT rowid, -bm25(passages_fts) FROM passages_fts WHERE passages_fts MATCH ? "
            "ORDER BY bm25(passages_fts), rowid LIMIT ?",
            (expression, limit),
        )
        return dict(rows)


def bm25_scores(store: PassageStore, expression: str, numbers: Sequence[int]) -> dict[int, float]:
    """The score of those of the numbered passages that match."""
    statement = f"SELECT rowid, -bm25(passages_fts) FROM passages_fts WHERE passages_fts MATCH ? AND {_ALL_AT_ONCE} IN"
    found: dict[int, float] = {}
    with store.reading() as connection:
        for marks, some in _portions(numbers):
            found.update(connection.execute(f"{statement} ({marks})", (expression, *some)))
    return found


def terms_held(store: PassageStore, terms: Sequence[Term], numbers: Sequence[int]) -> dict[int, frozenset[Term]]:
    """Which of the terms stand in title, heading or text of each numbered passage."""
    statement = f"SELECT rowid FROM passages_fts WHERE passages_fts MATCH ? AND {_ALL_AT_ONCE} IN"
    held: dict[int, set[Term]] = {number: set() for number in numbers}
    with store.reading() as connection:
        for marks, some in _portions(list(held)):
            for term in terms:
                for (number,) in connection.execute(f"{statement} ({marks})", (term.expression, *some)):
                    held[number].add(term)
    return {number: frozenset(found) for number, found in held.items()}


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


def coverage(held: Collection[Term], frequencies: Mapping[Term, int], passages: int) -> float:
    """The share of the query's idf weight that lies in the terms held, in [0, 1].

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
    return min(1.0, math.fsum(weight for term, weight in weights.items() if term in held) / total)
