"""Stored conversations and turns as the page shows them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from chains import UnknownThreadError
from softgraft.feedback import Feedback
from softgraft.server.callers import stored_thread
from softgraft.server.errors import RequestError
from softgraft.server.links import document_path


@contextmanager
def own_thread(thread_id: str) -> Iterator[str]:
    """The id under which a conversation of the caller is stored.

    Raises:
        RequestError: if the code in this context finds no such conversation or turn. The error of the store lists
            known ids, which may be those of other callers.
    """
    try:
        yield stored_thread(thread_id)
    except UnknownThreadError:
        raise RequestError(
            f"There is no conversation {thread_id!r} with such a turn. Next: list them: GET /api/threads.", status=404
        ) from None


def shown_turn(domain: str, turn: Mapping[str, Any], feedback: Feedback | None) -> dict[str, Any]:
    """A turn of `Conversations.transcript` with links to its sources.

    Older turns lack some fields, which are then None or empty. All spans count code points.
    """
    return {
        "number": turn["number"],
        "question": turn["question"],
        "query": turn.get("query") or turn["question"],
        "answer": turn["answer"],
        "citations": [shown_citation(domain, citation) for citation in turn["citations"]],
        "refused": bool(turn.get("refused")),
        "supported": turn.get("supported"),
        "notices": list(turn.get("notices", [])),
        "at": turn.get("at"),
        "feedback": None if feedback is None else {"rating": feedback.rating, "correction": feedback.correction},
    }


def shown_citation(domain: str, citation: Mapping[str, Any]) -> dict[str, Any]:
    """A citation: `start` and `end` in the answer, the quote, and its `span` in the document."""
    start, end = citation["start"], citation["end"]
    return {
        "start": citation["answer_start"],
        "end": citation["answer_end"],
        "quote": citation["quote"],
        "document": citation["doc_id"],
        "title": citation["title"],
        "heading": citation["heading"],
        "page": citation["page"],
        "span": [start, end],
        "href": document_path(domain, citation["doc_id"], start, end),
    }
