"""`softgraft feedback DOMAIN list`, `export` and `report`: what is stored, and what it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from chains.errors import MemoryDamagedError
from soft_prompt.json_text import dump_json
from softgraft.commands.console import out, print_json, print_notes, simple_table, styled, write_private_file
from softgraft.errors import OUTCOMES, UsageError
from softgraft.feedback.counts import GraftCounts, per_graft
from softgraft.feedback.entry import Feedback, Rating
from softgraft.feedback.intervals import Share
from softgraft.feedback.place import StoredDomain
from softgraft.feedback.preferences import PairCounts, per_pair, preferences
from softgraft.feedback.store import read_feedback
from softgraft.terminal import safe_json


def show_list(domain: StoredDomain, name: str, rating: Rating | None, *, json: bool) -> None:
    """Print each entry with its id, the last change last."""
    stored = read_feedback(domain)
    found = _rated(stored.entries, rating)
    if json:
        print_json({"feedback": [as_data(entry) for entry in found], "damaged": list(stored.damaged)})
    elif not found and not stored.damaged:
        out.print(
            f"no feedback yet\nnext: softgraft serve {name}, and rate answers on its page"
            if rating is None
            else f"no answer was rated {rating}"
        )
    else:
        for entry in found:
            show_entry(entry)
        corrections = sum(bool(entry.correction) and not entry.accepted for entry in found)
        if corrections:
            out.print(f"next: softgraft feedback {name} accept")
    exit_if_damaged(stored.damaged)


def show_entry(entry: Feedback) -> None:
    """Print one rating with its question and answer."""
    state = f", accepted on {entry.accepted[:10]}" if entry.accepted else ""
    out.print(
        styled(f"\n{entry.id}", "bold"),
        styled(f"rated {entry.rating} on {entry.at[:10]}, turn {entry.turn} of {entry.thread}{state}", "dim"),
    )
    out.print(f"  question   {entry.question}")
    if entry.query and entry.query != entry.question:
        out.print(f"  searched   {entry.query}")
    out.print(f"  answer     {entry.answer}")
    for span in entry.cited:
        where = f"({span.doc_id}, characters {span.start} to {span.end})"
        out.print(f'  quote      "{" ".join(span.quote.split())}"', styled(where, "dim"))
    if entry.correction:
        out.print(f"  correction {entry.correction}")


def export(domain: StoredDomain, name: str, rating: Rating | None, output: Path | None, *, json: bool) -> None:
    """Print or write one JSON object per entry."""
    if json and output is None:
        raise UsageError(
            found="--json with `export`",
            expected="no --json, because an export is one JSON object per line; or --output as well",
            next_step=f"softgraft feedback {name} list --json",
        )
    stored = read_feedback(domain)
    found = _rated(stored.entries, rating)
    lines = [safe_json(dump_json(as_data(entry), ensure_ascii=False)) + "\n" for entry in found]
    if output is None:
        typer.echo("".join(lines), nl=False)
    else:
        write_private_file(output, "".join(lines))
        if json:
            print_json({"file": str(output), "feedback": len(lines), "damaged": list(stored.damaged)})
        else:
            out.print(f"wrote {len(lines)} to {output}")
    exit_if_damaged(stored.damaged)


def show_report(domain: StoredDomain, name: str, *, json: bool) -> None:
    """Print the share of positive ratings per graft, and the preferences between systems."""
    stored = read_feedback(domain)
    judged, damaged = preferences(domain)
    grafts, pairs = per_graft(stored.entries), per_pair(judged)
    if json:
        print_json(
            {
                "grafts": [asdict(one) for one in grafts],
                "preferences": [asdict(one) for one in pairs],
                "damaged": [*stored.damaged, *damaged],
            }
        )
    elif not grafts and not pairs:
        out.print(f"no feedback yet\nnext: softgraft feedback {name} compare --systems auto,quote")
    else:
        if grafts:
            _print_grafts(grafts)
        if pairs:
            _print_pairs(pairs)
    exit_if_damaged((*stored.damaged, *damaged))


def as_data(entry: Feedback) -> dict[str, Any]:
    """An entry as plain data, with its id and the digest of what answered."""
    return {"id": entry.id, "graft": entry.graft, "system": entry.system, **entry.model_dump(mode="json")}


def exit_if_damaged(damaged: Sequence[str]) -> None:
    """End with the exit code of a damaged memory, after the rest was shown."""
    if damaged:
        print_notes(
            [
                f"{' and '.join(damaged)}: the content differs from its checksum. It was left out and not changed; "
                "restore a backup, or rate the answer again"
            ]
        )
        raise typer.Exit(dict(OUTCOMES)[MemoryDamagedError].exit_code)


def _rated(found: Sequence[Feedback], rating: Rating | None) -> list[Feedback]:
    return [entry for entry in found if rating in (None, entry.rating)]


def _print_grafts(grafts: Sequence[GraftCounts]) -> None:
    columns = ["graft", "system", "form", "up", "down", "corrected", "positive", "95% interval", "last"]
    table = simple_table(columns, left=["graft", "system", "form", "last"])
    for one in grafts:
        table.add_row(
            one.graft or "(unknown)",
            one.system or "-",
            one.form or "-",
            *map(str, (one.up, one.down, one.corrections)),
            *_share(one.share),
            one.last,
        )
    out.print(table)


def _print_pairs(pairs: Sequence[PairCounts]) -> None:
    columns = ["first", "second", "for first", "for second", "ties", "share", "95% interval", "p", "last"]
    table = simple_table(columns, left=["first", "second", "last"])
    for one in pairs:
        table.add_row(
            *one.systems,
            *map(str, (one.first, one.second, one.ties)),
            *_share(one.share),
            f"{one.p:.3f}",
            one.last,
        )
    out.print(table)
    out.print("share: of the decided judgements, for the first; p: exact two-sided sign test on them", style="dim")


def _share(share: Share) -> tuple[str, str]:
    return "-" if share.share is None else f"{share.share:.0%}", f"{share.low:.0%} to {share.high:.0%}"
