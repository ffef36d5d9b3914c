"""Addresses of the page that a citation links to."""

from __future__ import annotations

from urllib.parse import quote


def document_path(domain: str, document: str, start: int, end: int) -> str:
    """Path and fragment of the page that shows a document with the characters `start` to `end` highlighted.

    The form is `/#/DOMAIN/document/DOCUMENT_ID?start=START&end=END`. Both names are percent-encoded as one path segment
    each, so a `/` in a document's id is `%2F`. Positions count code points of the stored text.
    """
    return f"/#/{quote(domain, safe='')}/document/{quote(document, safe='')}?start={start}&end={end}"


def document_url(base: str, domain: str, document: str, start: int, end: int) -> str:
    """The same as a full URL; `base` is the address of the server, such as `http://127.0.0.1:8000`."""
    return base.rstrip("/") + document_path(domain, document, start, end)
