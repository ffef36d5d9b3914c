"""`softgraft feedback DOMAIN accept`: show each row that would be added to train.jsonl, and ask."""

from __future__ import annotations

from collections.abc import Sequence

from softgraft.commands.console import out, print_json, print_notes, styled
from softgraft.commands.feedback.lists import exit_if_damaged, show_entry
from softgraft.errors import UsageError
from softgraft.feedback.acceptance import Acceptance, Candidate, LeftOut, Offer
from softgraft.feedback.place import StoredDomain
from softgraft.feedback.store import read_feedback
from softgraft.terminal import safe_json

_KEYS = "[a]dd, [s]kip, [q]uit: "


def accept(
    domain: StoredDomain, name: str, ids: Sequence[str], *, yes: bool, rated_up: bool, held_out: bool, json: bool
) -> None:
    """Offer entries; with `yes` add those with these ids. `json` without `yes` shows the offer and adds nothing."""
    if yes and not ids:
        raise UsageError(
            found="--yes without an id",
            expected="the ids of what to add, since nothing is added unseen",
            next_step=f"softgraft feedback {name} list, then: softgraft feedback {name} accept ID --yes",
        )
    acceptance = Acceptance(domain, rated_up=rated_up, held_out_documents=held_out)
    offer = _wanted(acceptance.offer(), ids)
    damaged = read_feedback(domain).damaged
    if ids:
        _require_known(domain, name, ids, offer)
    added: list[str] = []
    left_out = list(offer.left_out)
    if not json:
        _print_left_out(offer.left_out)
    if yes:
        if not json:
            for candidate in offer.candidates:
                _show(candidate)
        done = acceptance.add(offer.candidates)
        added, left_out = list(done.added), [*left_out, *done.left_out]
        if not json:
            _print_left_out(done.left_out)
    elif not json:
        added = _ask_each(acceptance, offer.candidates)
    if json:
        print_json(
            {
                "file": str(acceptance.path),
                "added": added,
                "offered": [] if yes else [_data(candidate) for candidate in offer.candidates],
                "left_out": [{"id": one.entry.id, "reason": one.reason} for one in left_out],
                "damaged": list(damaged),
            }
        )
    elif not offer.candidates and not added:
        out.print("nothing to accept")
    else:
        out.print(f"added {len(added)} of {len(offer.candidates)} to {acceptance.path}")
    if added and not json:
        out.print("they stay there if the conversation is deleted")
        out.print(f"next: softgraft ingest {name}, then softgraft train {name}")
    exit_if_damaged(damaged)


def _ask_each(acceptance: Acceptance, candidates: Sequence[Candidate]) -> list[str]:
    added: list[str] = []
    for number, candidate in enumerate(candidates, 1):
        _show(candidate, f"{number} of {len(candidates)}")
        while True:
            key = _ask()
            if key in ("a", "s", None, "q"):
                break
            out.print("one of a, s, q")
        if key == "a":
            done = acceptance.add([candidate])
            added += done.added
            _print_left_out(done.left_out)
        elif key != "s":
            break
    return added


def _ask() -> str | None:
    """The first letter of a line from standard input; None at its end."""
    try:
        return input(_KEYS).strip()[:1].lower()
    except EOFError:
        out.print()
        return None


def _show(candidate: Candidate, position: str = "") -> None:
    if position:
        out.print(styled(f"\n{position}", "bold"), end="")
    show_entry(candidate.entry)
    out.print("  row       ", safe_json(candidate.line))
    print_notes(candidate.notes, out)


def _data(candidate: Candidate) -> dict[str, object]:
    row = candidate.row.model_dump(mode="json", exclude_defaults=True)
    return {"id": candidate.entry.id, "row": row, "notes": list(candidate.notes)}


def _print_left_out(left_out: Sequence[LeftOut]) -> None:
    for one in left_out:
        out.print(styled("left out:", "yellow"), f"{one.entry.id}: {one.reason}")


def _wanted(offer: Offer, ids: Sequence[str]) -> Offer:
    if not ids:
        return offer
    return Offer(
        tuple(one for one in offer.candidates if one.entry.id in ids),
        tuple(one for one in offer.left_out if one.entry.id in ids),
    )


def _require_known(domain: StoredDomain, name: str, ids: Sequence[str], offer: Offer) -> None:
    """Refuse an id that names nothing to add, before anything is added."""
    known = {one.entry.id for one in offer.candidates} | {one.entry.id for one in offer.left_out}
    stored = {entry.id: entry for entry in read_feedback(domain).entries}
    for one in ids:
        if one in known:
            continue
        entry = stored.get(one)
        found = f"no feedback {one!r}"
        if entry is not None:
            found = f"{one} has no correction" if not entry.accepted else f"{one} is in train.jsonl already"
        raise UsageError(
            found=found,
            expected="ids of corrections that are not accepted yet; with --rated-up, of answers rated up too",
            next_step=f"softgraft feedback {name} accept, which shows them; nothing was added",
        )
