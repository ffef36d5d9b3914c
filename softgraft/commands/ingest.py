"""`softgraft ingest`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from retrieval.errors import NoDocumentsError
from retrieval.ingestion.docs_folder import by_suffix
from retrieval.store.faiss_record import IndexChoice
from softgraft.commands.console import (
    DomainArgument,
    JsonOption,
    err,
    on_ingest,
    open_domain,
    out,
    print_error,
    print_json,
    print_left_out,
    print_next,
    print_notes,
    print_skipped,
    progress_bars,
    styled,
)
from softgraft.commands.data_notes import data_notes
from softgraft.errors import UsageError
from softgraft.jobs.watch import Change, snapshot, wait_for_changes
from softgraft.settings.sections import MIN_OWN_SCALE

if TYPE_CHECKING:
    from retrieval import EvidenceScale, IngestReport
    from softgraft.domain import Domain, Ingested

# The exit code of a conversion error.
FILES_FAILED = 4


def ingest_command(
    domain: DomainArgument,
    json: JsonOption = False,
    warm: Annotated[bool, typer.Option("--warm", help="Also compute the keys and values of the passages.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and write nothing.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help=f"Exit with code {FILES_FAILED} if a file could not be read.")
    ] = False,
    index: Annotated[
        IndexChoice | None,
        typer.Option(help="Kind of FAISS index from now on; auto chooses by the number of passages."),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Keep running, and ingest whenever a document changes, until Ctrl-C.")
    ] = False,
) -> None:
    """Index the documents of a domain. Unchanged documents are not embedded again.

    Formats: Markdown, text, HTML, DOCX, PDF, XLSX, PPTX, ODT, EPUB, EML, SRT, VTT and source code, and JSONL and CSV
    with one document per row. A file that cannot be read is reported and left out; what the index holds of it is kept.
    `ingest:` in domain.yaml limits the size, time and memory of a file.

    --warm makes first answers faster, most of all with `attention: block` in domain.yaml.

    Example: `softgraft ingest bank --warm`

    See what would change: `softgraft ingest bank --dry-run`

    Compress the vectors of millions of passages: `softgraft ingest bank --index pq`

    Keep the index up to date: `softgraft ingest bank --watch`
    """
    _refuse_together(domain, {"--dry-run": dry_run, "--watch": watch, "--warm": warm})
    _refuse_together(domain, {"--dry-run": dry_run, "--watch": watch, "--index": index is not None})
    _refuse_together(domain, {"--watch": watch, "--strict": strict})
    opened = open_domain(domain)
    if watch:
        _watch(opened, json)
        return
    report = _plan(opened, json) if dry_run else _ingest(opened, json, warm, index)
    if strict and (report.failed or report.unread):
        raise typer.Exit(FILES_FAILED)


def _refuse_together(domain: str, options: dict[str, bool]) -> None:
    given = [name for name, value in options.items() if value]
    if len(given) > 1:
        raise UsageError(
            found=f"{' and '.join(given)} together",
            expected=f"one of {', '.join(options)}",
            next_step=f"softgraft ingest {domain} {given[0]}",
        )


def _plan(opened: Domain, json: bool) -> IngestReport:
    with progress_bars(not json) as progress:
        report = opened.plan_ingest(on_progress=on_ingest(progress))
    if json:
        print_json({"plan": asdict(report)})
        return report
    out.print(
        f"documents: {report.added} to add, {report.changed} to change, {report.removed} to remove, "
        f"{report.unchanged} unchanged; passages: {report.passages}, of which {report.embedded} to embed"
    )
    _print_unread(report)
    out.print(f"nothing was written\nnext: softgraft ingest {opened.cli_name}")
    return report


def _ingest(opened: Domain, json: bool, warm: bool, index: IndexChoice | None) -> IngestReport:
    with progress_bars(not json) as progress:
        ingested = opened.ingest(index=index, on_progress=on_ingest(progress))
        warmed = opened.warm(on_progress=lambda done, total: progress("warming", done, total)) if warm else None
    if json:
        print_json({**_as_json(ingested), "warmed": asdict(warmed) if warmed else None})
        return ingested.report
    out.print(_summary(ingested.report))
    _print_unread(ingested.report)
    print_notes(data_notes(ingested.questions))
    out.print(_scale(ingested.scale))
    if warmed is not None:
        out.print(
            f"cache: {warmed.passages} of {warmed.of} passages, {warmed.computed_tokens:,} tokens computed now, "
            f"{warmed.disk_bytes / 2**20:,.0f} MiB on disk"
        )
        if warmed.passages < warmed.of:
            err.print(
                styled("the cache does not hold all passages:", "yellow"),
                "raise `cache: disk_gib` in domain.yaml, free disk space, or make build/passages writable",
            )
    state = opened.status()
    print_notes(state["reading"])
    print_next(state)
    return ingested.report


def _watch(opened: Domain, json: bool) -> None:
    """Ingest now and after every change. Ctrl-C while waiting is the normal end; during an ingest it is an error."""
    changes: Sequence[Change] = ()
    read = {"follow_links": opened.file.ingest.follow_links, "images": opened.file.ingest.images}
    while True:
        # Taken before the ingest, so that a change during the ingest is noticed.
        before = snapshot(opened.docs, **read)
        _ingest_changes(opened, changes, json)
        try:
            changes = wait_for_changes(opened.docs, before, **read)
        except KeyboardInterrupt:
            err.print("\nno longer watching; the index is up to date")
            return


def _ingest_changes(opened: Domain, changes: Sequence[Change], json: bool) -> None:
    for change in changes if not json else ():
        out.print(f"{change.kind} {change.name}")
    try:
        ingested = opened.ingest()
    except NoDocumentsError as error:
        # An editor may remove a file before it writes it again.
        print_error(error, json=json)
    else:
        if json:
            print_json({**_as_json(ingested), "changes": [asdict(change) for change in changes]}, indent=None)
        else:
            out.print(_summary(ingested.report))
            _print_unread(ingested.report)
            print_notes(data_notes(ingested.questions))
    if not changes:
        err.print(f"watching {opened.docs}; press Ctrl-C to stop")


def _as_json(ingested: Ingested) -> dict[str, Any]:
    scale = ingested.scale
    return {
        "ingest": asdict(ingested.report),
        "questions": [asdict(report) for report in ingested.questions],
        "evidence_score": asdict(scale),
    }


def _summary(report: IngestReport) -> str:
    rate = f" ({report.documents_per_second:,.1f} documents/s)" if report.documents_per_second else ""
    return (
        f"documents: {report.added} added, {report.changed} changed, {report.unchanged} unchanged, "
        f"{report.removed} removed; passages: {report.passages}; {report.embedded} different texts embedded now; "
        f"{report.seconds:.1f} s{rate}"
    )


# More are counted; a folder of web pages has one for nearly every page.
_NOTES_SHOWN = 10


def _print_unread(report: IngestReport) -> None:
    print_left_out(report.failed)
    print_skipped(by_suffix(report.skipped))
    # What could not be read comes first.
    notes = sorted(report.notes, key=lambda note: note[0] not in report.unread)
    shown = notes[: max(_NOTES_SHOWN, len(report.unread))]
    print_notes([f"{name}: {note}" for name, note in shown])
    if len(notes) > len(shown):
        print_notes([f"{len(notes) - len(shown)} more notes about files; --json shows all"])


def _scale(scale: EvidenceScale) -> str:
    if scale.origin == "default":
        return (
            "evidence score: the default scale, fitted on other domains; with at least "
            f"{MIN_OWN_SCALE} questions in train.jsonl and dev.jsonl, this domain gets its own"
        )
    unanswerable = "" if scale.right_refusals is None else f" and {scale.right_refusals:.0%} of the unanswerable ones"
    calibration = ""
    if scale.calibration_error is not None:
        calibration = f"; mean calibration error in cross-validation: {scale.calibration_error:.2f}"
    return (
        f"evidence score: fitted on {scale.questions} questions of train and dev; it refuses "
        f"{scale.wrong_refusals:.0%} of the answerable questions{unanswerable}{calibration}"
    )
