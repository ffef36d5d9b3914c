"""The documents of a domain as text, so that a reader can check a quote. Nothing here is HTML."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Query

from retrieval import NotIngestedError, PassageStore
from retrieval.store.store import DATABASE_NAME
from softgraft.server.errors import RequestError
from softgraft.server.links import document_path
from softgraft.server.served import ServedDomains

# Characters before and after the quote.
AROUND = 3000
_MAX_AROUND = 200_000
_PER_PAGE = 100
_Position = Annotated[int, Query(ge=0)]


def add_document_routes(router: APIRouter, served: ServedDomains) -> None:
    """Add the routes. They read the database alone: no model is loaded."""

    @router.get("/api/documents")
    def documents(domain: str, first: _Position = 0) -> dict[str, Any]:
        """The documents in the order of their ids, a page from number `first`."""
        with _opened(served, domain) as store:
            ids = store.document_ids()
            listed = []
            for doc_id in ids[first : first + _PER_PAGE]:
                document = store.document(doc_id)
                href = document_path(domain, doc_id, 0, 0)
                listed.append({"id": doc_id, "title": document.title, "length": len(document.text), "href": href})
        return {"documents": listed, "total": len(ids), "first": first}

    @router.get("/api/document")
    def document(
        domain: str,
        id: str,
        start: _Position = 0,
        end: _Position = 0,
        before: Annotated[int, Query(ge=0, le=_MAX_AROUND)] = AROUND,
        after: Annotated[int, Query(ge=0, le=_MAX_AROUND)] = AROUND,
    ) -> dict[str, Any]:
        """The characters `start` to `end`, and as many before and after; all positions count code points."""
        with _opened(served, domain) as store:
            found = store.document(id)
        text = found.text
        if not start <= end <= len(text):
            raise RequestError(
                f"The document {id!r} has no characters {start} to {end}. Expected: a span within its {len(text)}. "
                "Next: it may have changed, so open it without a span.",
                status=422,
            )
        first, last = max(0, start - before), min(len(text), end + after)
        return {
            "id": found.id,
            "title": found.title,
            "length": len(text),
            "page": bisect_right(found.page_starts, start) or None,
            "first": first,
            "last": last,
            "start": start,
            "end": end,
            "before": text[first:start],
            "quote": text[start:end],
            "after": text[end:last],
        }


@contextmanager
def _opened(served: ServedDomains, name: str) -> Iterator[PassageStore]:
    with served.open(name) as domain:
        path = domain.build / "index" / DATABASE_NAME
        if not path.is_file():
            raise NotIngestedError(
                found=f"{name} has no documents yet",
                expected="an index of its documents",
                next_step=f"run: softgraft ingest {domain.cli_name}",
            )
        with PassageStore.open(path) as store:
            yield store
