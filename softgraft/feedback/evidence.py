"""Which sentence of the evidence supports a text: the quote of a training question."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

from chains import Citation, cite
from retrieval import Passage, PassageStore, UnknownDocumentError
from retrieval.store.store import DATABASE_NAME
from softgraft.feedback.entry import EvidenceSpan, Feedback


def supporting_quote(entry: Feedback, text: str, build: Path) -> Citation | None:
    """The sentence of the entry's evidence that supports a text best; None if none does.

    Passages are read from the index; one whose document has gone or changed is left out. Without an index, only the
    quotes of the answer are searched.
    """
    database = build / "index" / DATABASE_NAME
    with PassageStore.open(database) if database.is_file() else nullcontext() as store:
        passages = list(_passages(entry.evidence, store))
    found = cite(text, passages, question=entry.query or entry.question)
    return max(found, key=lambda citation: citation.support, default=None)


def _passages(spans: tuple[EvidenceSpan, ...], store: PassageStore | None) -> Iterator[Passage]:
    for span in spans:
        text, title = span.quote, ""
        if store is not None:
            try:
                document = store.document(span.doc_id)
            except UnknownDocumentError:
                continue
            text, title = document.text[span.start : span.end], document.title
            if span.quote and text != span.quote:
                continue
        if text:
            yield Passage(f"{span.doc_id}:{span.start}", span.doc_id, title, "", text, span.start, span.end)
