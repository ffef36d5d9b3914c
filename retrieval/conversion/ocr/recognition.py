"""Whether pages that are pictures are read by text recognition, with which version, and how many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version

from retrieval.conversion.converted import Converted
from retrieval.errors import ConversionError

PIP_INSTALL = 'pip install "softgraft[ocr]"'
# The packages of the extra. The version of the first, whose package holds the models, decides what is recognised.
_PACKAGES = ("rapidocr", "onnxruntime")
# Raised when this package's own part of reading a picture changes.
_READER = "ocr/1"
_SEPARATOR = ";ocr="


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Recognition:
    """Pages that are pictures are recognised.

    Attributes:
        pages: maximum number of such pages per file; the others are reported as unread.
        images: whether image files are documents.
        on_page: called before each page.
    """

    pages: int
    images: bool = False
    on_page: Callable[[], None] = _nothing


@dataclass(frozen=True, slots=True)
class PageCounts:
    """The pages that are pictures, from 1: those that were recognised, those without text, those beyond the limit."""

    recognised: list[int] = field(default_factory=list)
    empty: list[int] = field(default_factory=list)
    left_out: list[int] = field(default_factory=list)


def is_left_out(counts: PageCounts, recognition: Recognition) -> bool:
    """Whether a further page is beyond the limit."""
    return len(counts.recognised) + len(counts.empty) >= recognition.pages


def with_pages(converted: Converted, counts: PageCounts, of: int, recognition: Recognition) -> Converted:
    """The converted text of a file with `of` pages, with notes on those that are pictures."""
    if not (counts.recognised or counts.empty):
        return converted
    notes, unread = list(converted.notes), list(converted.unread)
    if counts.recognised:
        notes.append(
            f"{listed(counts.recognised)} of {of} read by text recognition (OCR), which may get a number wrong"
        )
    if counts.empty:
        notes.append(f"text recognition (OCR) found no text on {listed(counts.empty)} of {of}")
    if counts.left_out:
        unread.append(
            f"{listed(counts.left_out)} of {of} not read: text recognition (OCR) reads at most {recognition.pages} "
            "pages of a file; raise `ocr_pages` under `ingest:` in domain.yaml"
        )
    return replace(
        converted,
        notes=tuple(notes),
        unread=tuple(unread),
        recognised=tuple(counts.recognised),
        variant=variant(recognition.pages if counts.left_out else None),
    )


def missing_package() -> str | None:
    """The first package of the extra that is not installed; None if all are. Imports nothing."""
    for name in _PACKAGES:
        try:
            version(name)
        except PackageNotFoundError:
            return name
    return None


def missing_error(missing: str, reason: str = "it is not installed") -> ConversionError:
    """The error for a package that cannot be used."""
    return ConversionError(
        found=f"text recognition (OCR) needs the package {missing} ({reason})",
        expected="the optional packages for text recognition",
        next_step=f"{PIP_INSTALL}; without it, set `ocr: false` under `ingest:` in domain.yaml",
    )


def variant(pages: int | None = None) -> str:
    """What a converter's version ends with if it recognised pages: another engine or limit makes documents stale.

    `pages`: the limit, if pages were beyond it.
    """
    limit = f",pages={pages}" if pages is not None else ""
    return f"{_SEPARATOR}{_READER},{_PACKAGES[0]}-{version(_PACKAGES[0])}{limit}"


def is_recognised(converter: str) -> bool:
    """Whether a document with this converter has recognised pages."""
    return _SEPARATOR in converter


def spans(pages: Sequence[int]) -> list[tuple[int, int]]:
    """Ascending page numbers as first and last of each run."""
    found: list[tuple[int, int]] = []
    for page in pages:
        if found and page == found[-1][1] + 1:
            found[-1] = (found[-1][0], page)
        else:
            found.append((page, page))
    return found


def listed(pages: Sequence[int]) -> str:
    """Ascending page numbers as words: "page 2", "pages 1, 2, 4 to 9"."""
    parts = [
        f"{first} to {last}" if last > first + 1 else ", ".join(map(str, dict.fromkeys((first, last))))
        for first, last in spans(pages)
    ]
    return f"page{'s' if len(pages) > 1 else ''} {', '.join(parts)}"


def pages_note(pages: Sequence[int], of: int) -> str:
    """What a user should know of pages that are pictures and were not recognised; "" if there are none."""
    if not pages:
        return ""
    holds = "holds" if len(pages) == 1 else "hold"
    return f"{listed(pages)} of {of} {holds} pictures and no text that can be read; {how_to_recognise()}"


def how_to_recognise() -> str:
    """What makes text on pictures readable."""
    if missing_package() is None:
        return "text recognition (OCR) reads them with `ocr: auto` under `ingest:` in domain.yaml"
    return f"text recognition (OCR) reads them: {PIP_INSTALL}, and ingest again"
