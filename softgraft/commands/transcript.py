"""A conversation as a Markdown page."""

from __future__ import annotations

from typing import Any


def as_markdown(transcript: dict[str, Any], title: str) -> str:
    """The page: a heading for each question, then its answer and its quotes with their locations.

    Args:
        transcript: from `chains.Conversations.transcript`.
        title: of the domain.
    """
    lines = [f"# {_one_line(title)}: conversation {_one_line(transcript['thread'])}", ""]
    if transcript["summary"]:
        lines += [f"Summary of the earlier turns: {_one_line(transcript['summary'])}", ""]
    for number, turn in enumerate(transcript["turns"], 1):
        lines += [f"## {number}. {_one_line(turn['question'])}", ""]
        if turn.get("at"):
            lines += [f"*{turn['at']}*", ""]
        # Leading spaces would make a line a code block.
        lines += [line.strip() for line in turn["answer"].splitlines()] + [""]
        for citation in turn["citations"]:
            lines += [f"> {_one_line(citation['quote'])}", ">", f"> {citation_location(citation)}", ""]
        lines += [line for notice in turn.get("notices", []) for line in (f"Note: {_one_line(notice)}", "")]
    return "\n".join(lines)


def citation_location(citation: dict[str, Any]) -> str:
    """The location of a quote: headings, page, document and characters."""
    headings = " > ".join(part for part in (citation["title"], citation["heading"]) if part)
    page = f", page {citation['page']}" if citation["page"] else ""
    return f"{headings}{page} ({citation['doc_id']}, characters {citation['start']} to {citation['end']})"


def _one_line(text: str) -> str:
    """Text without line breaks, so that no part of it starts a heading or a list."""
    return " ".join(text.split())
