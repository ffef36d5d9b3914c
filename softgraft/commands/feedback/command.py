"""`softgraft feedback DOMAIN`: ratings and corrections of answers, and what becomes of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from softgraft.commands.console import DomainArgument, JsonOption
from softgraft.errors import UsageError

if TYPE_CHECKING:
    from softgraft.feedback.place import StoredDomain

Action = Literal["list", "export", "accept", "report", "compare"]
QUESTIONS = 20
# The options of each action, besides --json.
_OPTIONS = {
    "list": ("--rating",),
    "export": ("--rating", "--output"),
    "accept": ("ID", "--yes", "--rated-up", "--held-out-documents"),
    "report": (),
    "compare": ("--systems", "--questions", "--split"),
}


@dataclass(frozen=True, slots=True)
class _Call:
    """What every action needs of the command line."""

    domain: str
    action: Action
    json: bool


def feedback(
    domain: DomainArgument,
    action: Annotated[
        Action, typer.Argument(metavar="[list|export|accept|report|compare]", help="What to do.")
    ] = "list",
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="accept: only these, as `list` shows them.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="accept: add the entries with these ids without asking.")] = False,
    rating: Annotated[
        Literal["up", "down"] | None, typer.Option(help="list, export: only answers with this rating.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="export: a new file, which only you can read.")] = None,
    rated_up: Annotated[
        bool, typer.Option("--rated-up", help="accept: also answers that were rated up and not corrected.")
    ] = False,
    held_out_documents: Annotated[
        bool,
        typer.Option("--held-out-documents", help="accept: also about documents that only dev or test uses."),
    ] = False,
    systems: Annotated[
        str | None, typer.Option(metavar="A,B", help="compare: two systems, such as soft,quote; see `softgraft eval`.")
    ] = None,
    questions: Annotated[
        int | None, typer.Option(min=1, help=f"compare: maximum number of questions, {QUESTIONS} by default.")
    ] = None,
    split: Annotated[
        Literal["dev", "test"] | None, typer.Option(help="compare: where the questions come from, dev by default.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Read ratings of answers, train on corrections, and compare two systems without knowing which is which.

    People rate answers on the page of `softgraft serve`. `list` and `export` show the ratings. `accept` shows each
    correction as a row of train.jsonl and asks before it adds it; a question of dev or test is never added. `report`
    counts ratings per graft. `compare` shows two answers to a question in random order and stores your preference.

    Example: `softgraft feedback bank list --rating down`

    Add corrections to train.jsonl, one by one: `softgraft feedback bank accept`

    One of them, without being asked: `softgraft feedback bank accept feedback-d6a2550c6ec7 --yes`

    Save everything: `softgraft feedback bank export --output feedback.jsonl`

    Which is better: `softgraft feedback bank compare --systems soft,quote --questions 20`

    The counts so far: `softgraft feedback bank report`

    If a stored row is damaged, the others are used and the exit code is 5.
    """
    given = {
        "ID": bool(ids),
        "--yes": yes,
        "--rating": rating is not None,
        "--output": output is not None,
        "--rated-up": rated_up,
        "--held-out-documents": held_out_documents,
        "--systems": systems is not None,
        "--questions": questions is not None,
        "--split": split is not None,
    }
    _require_used(domain, action, [name for name, is_given in given.items() if is_given])
    call = _Call(domain, action, json)
    if action == "compare":
        _compare(call, systems, questions or QUESTIONS, split or "dev")
        return
    stored = _stored(domain)
    if action == "accept":
        from softgraft.commands.feedback.accepting import accept

        accept(stored, domain, ids or [], yes=yes, rated_up=rated_up, held_out=held_out_documents, json=json)
        return
    from softgraft.commands.feedback import lists

    if action == "list":
        lists.show_list(stored, domain, rating, json=json)
    elif action == "export":
        lists.export(stored, domain, rating, output, json=json)
    else:
        lists.show_report(stored, domain, json=json)


def _require_used(domain: str, action: Action, given: list[str]) -> None:
    """Refuse options of another action."""
    unused = [name for name in given if name not in _OPTIONS[action]]
    if unused:
        homes = [name for name, options in _OPTIONS.items() if unused[0] in options]
        raise UsageError(
            found=f"{', '.join(unused)} with `{action}`",
            expected=f"{unused[0]} with `{'` or `'.join(homes)}` alone",
            next_step=f"softgraft feedback {domain} {action}",
        )


def _compare(call: _Call, systems: str | None, questions: int, split: Literal["dev", "test"]) -> None:
    if call.json or systems is None:
        raise UsageError(
            found="`compare` with --json" if call.json else "`compare` without --systems",
            expected="two systems and no --json, because a comparison asks for each question",
            next_step=f"softgraft feedback {call.domain} compare --systems soft,quote",
        )
    from softgraft.commands.feedback.comparing import compare

    compare(call.domain, [name.strip() for name in systems.split(",") if name.strip()], questions, split)


def _stored(domain: str) -> StoredDomain:
    from softgraft.feedback.place import stored_domain
    from softgraft.settings.location import domain_folder

    return stored_domain(domain_folder(domain))
