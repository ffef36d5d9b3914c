"""BM25 with SQLite's FTS5, and the share of a query that a passage covers."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

from retrieval.store.database import select_in
from retrieval.store.store import PassageStore
from retrieval.store.terms import Term

# A term in more than this share of the passages takes the most time and discriminates the least. The limit matters
# beyond 100,000 passages; no question set of that size was available, so it was chosen for its time.
_COMMON_SHARE = 0.02
# In a smaller index common terms take little time and still help (docs/retrieval.md): a larger share is looked up, up
# to a maximum number of passages.
_SMALL_INDEX_SHARE, _SMALL_INDEX_PASSAGES = 0.2, 2000
# In a tiny index a share is a handful of passages, and pruning saves nothing.
_MIN_COMMON_PASSAGES = 20
# The plus keeps SQLite from looking up the rows one by one and computing BM25 statistics for each.
_FTS_ROWID = "+rowid"


def document_frequencies(store: PassageStore, terms: Sequence[Term]) -> dict[Term, int]:
    """The number of passages that contain each term."""
    frequencies = {}
    with store.reading() as connection:
        for term in terms:
            if term.is_prefix:
                statement, value = "SELECT count(*) FROM passages_fts WHERE passages_fts MATCH ?", term.expression
            else:
                statement, value = "SELECT doc FROM passages_terms WHERE term = ?", term.key
            row = connection.execute(statement, (value,)).fetchone()
            frequencies[term] = int(row[0]) if row is not None else 0
    return frequencies


def match_expression(frequencies: Mapping[Term, int], passages: int) -> str | None:
    """An FTS5 query that matches any of the terms worth looking up; None if no term occurs."""
    known = {term: frequency for term, frequency in frequencies.items() if frequency}
    small_index_limit = min(_SMALL_INDEX_SHARE * passages, _SMALL_INDEX_PASSAGES)
    limit = max(_COMMON_SHARE * passages, small_index_limit, _MIN_COMMON_PASSAGES)
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
    """The BM25 scores of those numbered passages that match."""
    statement = f"SELECT rowid, -bm25(passages_fts) FROM passages_fts WHERE passages_fts MATCH ? AND {_FTS_ROWID}"
    with store.reading() as connection:
        return dict(select_in(connection, statement, numbers, (expression,)))


def matching_terms(store: PassageStore, terms: Sequence[Term], numbers: Sequence[int]) -> dict[int, frozenset[Term]]:
    """The terms that occur in the title, heading or text of each numbered passage."""
    statement = f"SELECT rowid FROM passages_fts WHERE passages_fts MATCH ? AND {_FTS_ROWID}"
    matching: dict[int, set[Term]] = {number: set() for number in numbers}
    with store.reading() as connection:
        for term in terms:
            for (number,) in select_in(connection, statement, list(matching), (term.expression,)):
                matching[number].add(term)
    return {number: frozenset(terms_of) for number, terms_of in matching.items()}


def neighbours(store: PassageStore, numbers: Sequence[int]) -> dict[int, tuple[int, ...]]:
    """The numbers of the previous and the next passage in the document of each numbered one, if they exist."""
    beside = "(SELECT number FROM passages WHERE doc_id = p.doc_id AND start {} p.start ORDER BY start {} LIMIT 1)"
    statement = (
        f"SELECT p.number, {beside.format('<', 'DESC')}, {beside.format('>', 'ASC')} FROM passages AS p WHERE p.number"
    )
    with store.reading() as connection:
        rows = select_in(connection, statement, numbers)
    return {number: tuple(one for one in both if one is not None) for number, *both in rows}


def idf(frequency: int, passages: int) -> float:
    """The weight of a term that occurs in `frequency` of the passages; highest if in none."""
    return math.log1p((max(passages - frequency, 0) + 0.5) / (frequency + 0.5))


def coverage(matching: Collection[Term], frequencies: Mapping[Term, int], passages: int) -> float:
    """The share of the query's idf weight that the matching terms have, in [0, 1].

    A term that no passage contains has the highest weight: a query about something unknown is covered badly by
    any passage.
    """
    weights = {term: idf(frequency, passages) for term, frequency in frequencies.items()}
    total = math.fsum(weights.values())
    if total <= 0.0:
        return 0.0
    return min(1.0, math.fsum(weight for term, weight in weights.items() if term in matching) / total)
