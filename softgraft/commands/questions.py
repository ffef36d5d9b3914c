"""`softgraft questions DOMAIN`: draft questions from the documents, review the drafts, and count them."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from softgraft.commands.console import (
    DomainArgument,
    JsonOption,
    err,
    open_domain,
    out,
    print_json,
    print_notes,
    progress_bars,
    styled,
)
from softgraft.errors import UsageError

if TYPE_CHECKING:
    from softgraft.domain import Domain
    from softgraft.jobs.questions.draft_file import Draft
    from softgraft.jobs.questions.drafting import DraftReport
    from softgraft.jobs.questions.review import Review

Action = Literal["list", "draft", "review"]
COUNT = 40
_KEYS = "[a]ccept, [e]dit, [r]eject, [s]kip, [q]uit: "


def questions(
    domain: DomainArgument,
    action: Annotated[Action, typer.Argument(metavar="[list|draft|review]", help="What to do.")] = "list",
    count: Annotated[
        int | None, typer.Option(min=1, help=f"draft: number of drafts in total, {COUNT} by default.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--with", metavar="PROVIDER:MODEL", help="draft: a chat model that words the questions; it gets the text."
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="draft: chooses other sentences, 0 by default.")] = None,
    json: JsonOption = False,
) -> None:
    """Draft questions from the documents, and review them before they are used.

    `draft` writes questions with answers to drafts.jsonl in the domain's folder. Answers are spans of the documents,
    and about one question in six has no answer there. A second run continues. `review` shows the drafts one by one;
    those that you accept are added to train.jsonl. `list` counts them.

    Example: `softgraft questions bank draft --count 40`

    Word the questions with another model: `softgraft questions bank draft --with openai:gpt-4o-mini`

    Accept, edit or reject: `softgraft questions bank review`
    """
    given = {"--count": count, "--with": model, "--seed": seed}
    unused = [name for name, value in given.items() if value is not None]
    if action != "draft" and unused:
        raise UsageError(
            found=f"{', '.join(unused)} with `{action}`",
            expected="these options with `draft` alone",
            next_step=f"softgraft questions {domain} {action}",
        )
    if action == "review" and json:
        raise UsageError(
            found="--json with `review`",
            expected="no --json, because a review asks for each draft",
            next_step=f"softgraft questions {domain} review",
        )
    opened = open_domain(domain)
    if action == "draft":
        _draft(opened, COUNT if count is None else count, model, seed or 0, json=json)
    elif action == "review":
        _review(opened)
    else:
        _list(opened, json=json)


def _list(opened: Domain, *, json: bool) -> None:
    from softgraft.jobs.questions.draft_file import DraftFile, counts
    from softgraft.jobs.questions.drafting import require_questions

    require_questions(opened)
    file = DraftFile(opened.folder, opened.build)
    numbers = counts(file.read())
    if json:
        print_json({"domain": opened.file.name, "file": str(file.path), **numbers})
        return
    out.print(_summary(numbers))
    out.print(f"next: {_next_command(opened, numbers)}")


def _draft(opened: Domain, count: int, model: str | None, seed: int, *, json: bool) -> None:
    from softgraft.jobs.questions.drafting import draft_questions

    try:
        with progress_bars(not json) as progress:
            report = draft_questions(
                opened,
                count=count,
                seed=seed,
                model=model,
                on_progress=lambda done, total: progress("drafting questions", done, total),
            )
    except KeyboardInterrupt:
        given = {"--count": count, "--with": model, "--seed": seed or None}
        typed = "".join(f" {name} {shlex.quote(str(value))}" for name, value in given.items() if value is not None)
        err.print(f"\nTo continue: softgraft questions {opened.cli_name} draft{typed}")
        raise
    if json:
        print_json(asdict(report))
    else:
        _print_report(opened, report, count)


def _print_report(opened: Domain, report: DraftReport, count: int) -> None:
    out.print(
        f"{report.new} new drafts, {report.drafts} in {report.file}, of which {report.unanswerable} have no "
        f"answer in the documents; {report.seconds:.0f} s"
    )
    if report.generated:
        writers = ", ".join(f"{number} by {name}" for name, number in report.writers.items())
        out.print(f"worded: {report.generated}; used: {report.new}{f' ({writers})' if writers else ''}")
    for reason, number in report.dropped.items():
        out.print(f"  dropped {number:>4}  {reason}")
    if not report.complete:
        out.print(f"the documents gave {report.drafts} of {count} drafts; another --seed or --with may give more")
    out.print(f"next: softgraft questions {opened.cli_name} review")


def _review(opened: Domain) -> None:
    from softgraft.jobs.questions.review import Review

    review = Review(opened)
    left = review.left()
    for number, draft in enumerate(left, 1):
        if not _decide(review, draft, f"{number} of {len(left)}"):
            break
    numbers = review.counts()
    out.print(_summary(numbers))
    out.print(f"next: {_next_command(opened, numbers)}")


def _decide(review: Review, draft: Draft, position: str) -> bool:
    """Ask about one draft until it is decided or skipped; False ends the review."""
    from softgraft.jobs.questions.review import DraftChangedError

    _show(draft, position)
    while True:
        key = _ask(_KEYS)
        try:
            match key and key[:1].lower():
                case None | "q":
                    return False
                case "a":
                    review.accept(draft)
                    return True
                case "r":
                    review.reject(draft)
                    return True
                case "s":
                    return True
                case "e":
                    draft = _edit(review, draft)
                    _show(draft, position)
                case _:
                    out.print("one of a, e, r, s, q")
        except DraftChangedError as error:
            print_notes([f"{error.found}: {error.next_step}"], out)
            if error.current is None:
                return True
            draft = error.current
            _show(draft, position)
            if draft.decision:
                return True


def _edit(review: Review, draft: Draft) -> Draft:
    """Ask for new texts of a draft."""
    from softgraft.jobs.questions.review import Edit

    names = ["question", *(["answer"] if draft.answerable else []), *(["reply"] if draft.response else [])]
    return review.edit(draft, Edit(**{name: _ask(f"{name} (empty keeps it): ") for name in names}))


def _ask(prompt: str) -> str | None:
    """A line from standard input; None at its end."""
    try:
        return input(prompt).strip()
    except EOFError:
        out.print()
        return None


def _show(draft: Draft, position: str) -> None:
    out.print(styled(f"\n{position}", "bold"), styled(f"({draft.kind}, worded by {draft.writer})", "dim"))
    out.print("  question ", styled(draft.question, "bold"))
    if draft.answerable:
        out.print(f"  answer    {draft.answers[0]}")
    if draft.response:
        out.print(f"  reply     {draft.response}")
    place = f"{' > '.join(part for part in (draft.title, draft.heading) if part)} ({draft.doc_id}"
    if draft.answerable:
        out.print(f'  quote     "{" ".join(draft.quote.split())}"')
        out.print(styled(f"            {place}, characters {draft.start} to {draft.end})", "dim"))
    else:
        out.print(styled(f"            no answer in the documents; the nearest is {place})", "dim"))


def _summary(numbers: dict[str, int]) -> str:
    return (
        f"drafted: {numbers['drafted']} ({numbers['unanswerable']} without an answer), "
        f"accepted: {numbers['accepted']}, rejected: {numbers['rejected']}, left: {numbers['left']}"
    )


def _next_command(opened: Domain, numbers: dict[str, int]) -> str:
    name = opened.cli_name
    if numbers["left"]:
        return f"softgraft questions {name} review"
    if not numbers["drafted"]:
        return f"softgraft questions {name} draft"
    # The evidence score is fitted to the questions at ingest.
    return (
        f"softgraft ingest {name}, then softgraft train {name}"
        if numbers["accepted"]
        else (f"softgraft questions {name} draft --count {numbers['drafted'] + COUNT}")
    )
