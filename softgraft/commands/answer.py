"""`softgraft ask` and `chat`."""

from __future__ import annotations

import textwrap
import warnings
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chains.speakers.secrets import StreamWithoutSecrets
from retrieval.markup import plain
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
from softgraft.jobs.transcript import citation_location

if TYPE_CHECKING:
    from softgraft.domain import Domain

# Number of labels that are shown for a text.
_SHOWN_LABELS = 3
# Characters of a quote that name it.
_FIRST_WORDS = 30

ThreadOption = Annotated[str | None, typer.Option(help="Remember the conversation under this id.")]


def ask(
    domain: DomainArgument,
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="The question, in quotes.")],
    json: JsonOption = False,
    thread: ThreadOption = None,
) -> None:
    """Ask one question; the answer comes with exact quotes.

    Example: `softgraft ask bank "How many days do I have to dispute a card payment?"`

    Classify, summarise or translate a text: `softgraft ask intents "I lost my card"`
    """
    if not question.strip():
        raise UsageError(
            found="an empty text",
            expected="a question, or a text of the domain's task, in quotes",
            next_step=f'softgraft ask {domain} "..."',
        )
    opened = open_domain(domain)
    if opened.file.text_task is not None:
        _run_task(opened, question, thread, json=json)
    elif json:
        print_json(invoke(opened, question, thread))
    else:
        stream_answer(opened, question, thread)


def chat(
    domain: DomainArgument,
    thread: Annotated[str, typer.Option(help="Id of the conversation; a known id continues it.")] = "chat",
    json: JsonOption = False,
) -> None:
    """Hold a conversation with a domain; an empty line or Ctrl-D ends it.

    Example: `softgraft chat bank --thread anna`

    With --json, read one question per line from standard input and print one line of JSON per answer.
    """
    opened = open_domain(domain)
    if not json:
        earlier = len(opened.chain.history(thread))
        out.print(styled(opened.file.title, "bold"), f", conversation {thread!r}: {earlier} earlier turns", sep="")
    while True:
        try:
            question = input("" if json else "> ").strip()
        except EOFError:
            break
        if not question:
            break
        if json:
            print_json(invoke(opened, question, thread), indent=None)
        else:
            stream_answer(opened, question, thread)


def invoke(domain: Domain, question: str, thread: str | None) -> dict[str, Any]:
    """The whole result of one question as plain data."""
    with warnings.catch_warnings():
        # The result contains the notices.
        warnings.simplefilter("ignore")
        result: dict[str, Any] = domain.chain.invoke({"question": question}, config=_config(thread))
    return result


def stream_answer(domain: Domain, question: str, thread: str | None) -> None:
    """Print an answer as it is generated, then its quotes and notices."""
    result: dict[str, Any] = {"answer": "", "citations": []}
    # They come in several parts.
    notices: list[str] = []
    # The console hides a secret that is in one piece.
    shown = StreamWithoutSecrets()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for part in domain.chain.stream({"question": question}, config=_config(thread)):
                if "answer" in part:
                    out.print(shown.feed(part["answer"]), end="")
                    result["answer"] += part["answer"]
                if part.get("query") and part["query"] != question:
                    err.print(styled(f"searched for: {part['query']}", "dim"))
                result |= {key: part[key] for key in ("citations", "supported") if key in part}
                notices += part.get("notices", [])
        finally:
            out.print(shown.finish(), end="")
    out.print()
    if result.get("supported") is False:
        out.print(styled("(not all of this is supported by the documents)", "yellow"))
    print_citations(result["citations"], result["answer"])
    print_notes(notices)


def print_citations(citations: list[dict[str, Any]], answer: str) -> None:
    """Print each quote once with its location; of a quote that the answer contains, only the location.

    If there are several of these, each location begins with the first words of its quote.
    """
    by_span: dict[tuple[str, int, int], dict[str, Any]] = {}
    for citation in citations:
        by_span.setdefault((citation["doc_id"], citation["start"], citation["end"]), citation)
    distinct = list(by_span.values())
    contained = [plain(one["quote"], one.get("markup", "markdown")) in answer for one in distinct]
    for citation, is_contained in zip(distinct, contained, strict=True):
        quote = plain(citation["quote"], citation.get("markup", "markdown"))
        if not is_contained:
            out.print(f'  "{quote}"')
        words = f"{_first_words(quote)}: " if is_contained and sum(contained) > 1 else ""
        out.print(styled(f"    {words}{citation_location(citation)}", "dim"))


def _first_words(text: str) -> str:
    """The beginning of a text; a language without spaces has one word."""
    return textwrap.shorten(text, _FIRST_WORDS, placeholder=" …") if " " in text[:_FIRST_WORDS] else text[:8] + "…"


def _run_task(domain: Domain, text: str, thread: str | None, *, json: bool) -> None:
    if thread is not None:
        raise UsageError(
            found=f"--thread {thread} with the task {domain.file.task}",
            expected="no --thread, because this task has no conversations",
            next_step="leave out --thread",
        )
    with progress_bars(not json) as progress:
        [result] = domain.work.run([text], on_fit=lambda done, total: progress("calibrating labels", done, total))
    notices = domain.notices()
    if json:
        print_json({**result, "notices": notices})
        return
    if "label" in result:
        for label, probability in list(result["probabilities"].items())[:_SHOWN_LABELS]:
            out.print(f"{probability:.3f}  {label}")
    else:
        out.print(result["reply"])
    print_notes(notices)


def _config(thread: str | None) -> Any:
    return {"configurable": {"thread_id": thread}} if thread is not None else {}
