"""A conversation as a Markdown page."""

from __future__ import annotations

from typing import Any


def as_markdown(transcript: dict[str, Any], title: str) -> str:
    """The page: each question a heading, its answer, and the quotes with where they stand.

    Args:
        transcript: `chains.Conversations.transcript`.
        title: of the domain.
    """
    lines = [f"# {_line(title)}: conversation {_line(transcript['thread'])}", ""]
    if transcript["summary"]:
        lines += [f"Its beginning in short: {_line(transcript['summary'])}", ""]
    for number, turn in enumerate(transcript["turns"], 1):
        lines += [f"## {number}. {_line(turn['question'])}", ""]
        if turn.get("at"):
            lines += [f"*{turn['at']}*", ""]
        # Four spaces or a fence at its start would be taken for something else than words.
        lines += [f"{line.strip()}" for line in turn["answer"].splitlines()] + [""]
        for citation in turn["citations"]:
            lines += [f"> {_line(citation['quote'])}", ">", f"> {place(citation)}", ""]
        lines += [line for notice in turn.get("notices", []) for line in (f"Note: {_line(notice)}", "")]
    return "\n".join(lines)


def place(citation: dict[str, Any]) -> str:
    """Where a quote stands, in one line."""
    named = " > ".join(part for part in (citation["title"], citation["heading"]) if part)
    page = f", page {citation['page']}" if citation["page"] else ""
    return f"{named}{page} ({citation['doc_id']}, characters {citation['start']} to {citation['end']})"


def _line(text: str) -> str:
    """Text that stays in its line, so that it begins no heading or list of its own."""
    return " ".join(text.split())
