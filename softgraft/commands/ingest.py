"""`softgraft ingest`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from json import dumps
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.markup import escape

from retrieval import NoDocumentsError
from softgraft.commands.screen import Json, Name, bars, err, on_ingest, out, print_json, say_error
from softgraft.commands.watch import Change, snapshot, wait_for_changes
from softgraft.domain import resolve
from softgraft.errors import UsageError

# `--help` loads neither torch nor LangChain.
if TYPE_CHECKING:
    from retrieval import EvidenceScale, IngestReport
    from retrieval.store.faiss_record import IndexChoice
    from softgraft.assembly.passage_cache import Warmed
    from softgraft.domain import Domain, Ingested

# As if the first bad file had been the only one.
FILES_FAILED = 4


def ingest_command(
    domain: Name,
    json: Json = False,
    warm: Annotated[bool, typer.Option("--warm", help="Also compute the passages' keys and values.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change, and write nothing.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help=f"End with exit code {FILES_FAILED} if a file could not be read.")
    ] = False,
    index: Annotated[
        Literal["auto", "flat", "pq", "hnsw", "ivf"] | None,
        typer.Option(help="Kind of FAISS index from now on; `auto` goes by how many passages there are."),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on, and ingest again whenever a document changes, until Ctrl-C.")
    ] = False,
) -> None:
    """Index the documents of a domain; unchanged ones are not embedded again.

    Read are Markdown, text, HTML, DOCX, PDF, and with a document a row JSONL and CSV. A file that cannot be read is
    reported and left out, and what the index held of it is kept. How large a file may be, and how much time and memory
    converting it may take, stands under `ingest:` in domain.yaml.

    With --warm the backbone also reads every passage, so that the first answers come sooner; most is gained with
    `attention: block` in domain.yaml.

    Example: [bold]softgraft ingest bank --warm[/]

    A graph for millions of passages: [bold]softgraft ingest bank --index hnsw[/]

    See first what it would do: [bold]softgraft ingest bank --dry-run[/]

    Keep the index up to date while documents are written: [bold]softgraft ingest bank --watch[/]
    """
    _refuse_together(domain, {"--dry-run": dry_run, "--watch": watch, "--warm": warm})
    _refuse_together(domain, {"--dry-run": dry_run, "--watch": watch, "--index": index is not None})
    _refuse_together(domain, {"--watch": watch, "--strict": strict})
    opened = resolve(domain)
    if watch:
        _watch(opened, json)
        return
    if dry_run:
        report = _plan(opened, json)
    else:
        report = _ingest(opened, json, warm, index)
    if strict and report.failed:
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
    with bars(not json) as tell:
        report = opened.plan_ingest(on_progress=on_ingest(tell))
    if json:
        print_json({"plan": asdict(report)})
        return report
    out.print(
        f"to do: {report.added} documents to add, {report.changed} to change, {report.removed} to remove, "
        f"{report.unchanged} unchanged: {report.passages} passages then, {report.embedded} to embed"
    )
    _print_left_out(report)
    out.print(f"nothing was written\nnext: softgraft ingest {opened.typed}")
    return report


def _ingest(opened: Domain, json: bool, warm: bool, index: IndexChoice | None) -> IngestReport:
    with bars(not json) as tell:
        done = opened.ingest(index=index, on_progress=on_ingest(tell))
        warmed = opened.warm(on_progress=lambda n, total: tell("warming", n, total, "")) if warm else None
    if json:
        print_json({**_as_json(done), "warmed": asdict(warmed) if warmed else None})
        return done.report
    out.print(_in_a_line(done.report))
    _print_left_out(done.report)
    _print_scale(done)
    if warmed is not None:
        _print_warmed(warmed)
    out.print(f"next: {opened.status()['next']}")
    return done.report


def _watch(opened: Domain, json: bool) -> None:
    """Ingests now and after every change. Ctrl-C ends it: as it should while waiting, as an interruption otherwise."""
    found: Sequence[Change] = ()
    while True:
        # Looked at before the ingest, so that what changes meanwhile is seen as a change.
        seen = snapshot(opened.docs)
        _ingest_watched(opened, found, json)
        try:
            found, _ = wait_for_changes(opened.docs, seen)
        except KeyboardInterrupt:
            err.print("\nno longer watching; the index is up to date")
            return


def _ingest_watched(opened: Domain, found: Sequence[Change], json: bool) -> None:
    for change in found if not json else ():
        out.print(f"{change.kind} {escape(change.name)}")
    try:
        done = opened.ingest()
    except NoDocumentsError as error:
        # Documents may come, or come back: an editor takes a file away before it writes it anew.
        if json:
            fields = {name: getattr(error, name) for name in ("found", "expected", "next_step")}
            _print_json_line({"error": {"type": type(error).__name__, **fields}})
        else:
            say_error(error)
    else:
        if json:
            _print_json_line({**_as_json(done), "changes": [asdict(change) for change in found]})
        else:
            out.print(_in_a_line(done.report))
            _print_left_out(done.report)
    if not found:
        err.print(f"watching {escape(str(opened.docs))}; Ctrl-C ends it")


def _print_json_line(data: dict[str, Any]) -> None:
    """So that another program can read each as it comes."""
    sys.stdout.write(dumps(data, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def _as_json(done: Ingested) -> dict[str, Any]:
    return {"ingest": asdict(done.report), "evidence_score": asdict(done.scale) if done.scale else None}


def _in_a_line(report: IngestReport) -> str:
    rate = f" ({report.documents_per_second:,.1f} documents/s)" if report.documents_per_second else ""
    return (
        f"{report.added} documents added, {report.changed} changed, {report.unchanged} unchanged, {report.removed} "
        f"removed: {report.passages} passages, {report.embedded} embedded, {report.seconds:.1f} s{rate}"
    )


def _print_left_out(report: IngestReport) -> None:
    for name, message in report.failed:
        err.print(f"[yellow]left out:[/] {escape(name)}: {escape(message)}")
    for name in report.skipped:
        err.print(f"[yellow]skipped:[/] {escape(name)} (not a kind of document that is read)")


def _print_scale(done: Ingested) -> None:
    scale = done.scale
    if scale is not None:
        right = "" if scale.right_refusals is None else f", {scale.right_refusals:.0%} of those without an answer"
        out.print(
            f"evidence score fitted: of {scale.questions} train and dev questions it refuses "
            f"{scale.wrong_refusals:.0%} of those with an answer{right}{_calibration(scale)}"
        )
    else:
        out.print(
            "no evidence score: it needs train.jsonl and dev.jsonl; until then nothing is refused for weak evidence"
        )


def _print_warmed(warmed: Warmed) -> None:
    out.print(
        f"warmed: {warmed.passages} of {warmed.of} passages stand in the cache, {warmed.computed_tokens:,} tokens "
        f"read just now, {warmed.disk_bytes / 2**20:,.0f} MiB on disk"
    )
    if warmed.passages < warmed.of:
        err.print("[yellow]the cache is full:[/] raise `disk_gib` under `cache:` in domain.yaml, or free disk space")


def _calibration(scale: EvidenceScale) -> str:
    if scale.calibration_error is None:
        return ""
    return f"; in cross-validation it is off by {100 * scale.calibration_error:.0f} points of probability on average"
