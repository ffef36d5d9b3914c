"""A conversation as a Markdown page."""

from __future__ import annotations

from typing import Any

from softgraft.jobs.markdown import code_block, code_span


def as_markdown(transcript: dict[str, Any], title: str) -> str:
    """A transcript as a page: a heading for each question, then its answer and its quotes with their locations.

    Everything that people, documents or models wrote is code, so that nothing in it becomes a heading or a link.
    """
    lines = [f"# {code_span(title)}: conversation {code_span(transcript.get('title') or transcript['thread'])}", ""]
    if transcript["damaged"]:
        lines += [f"Damaged, and left out: {', '.join(transcript['damaged'])}.", ""]
    if transcript["summary"]:
        lines += ["Summary of the earlier turns:", "", *code_block(transcript["summary"]), ""]
    for turn in transcript["turns"]:
        lines += [f"## {turn['number']}. {code_span(turn['question'])}", ""]
        if turn.get("at"):
            lines += [f"Answered at {code_span(turn['at'])}:", ""]
        lines += [*code_block(turn["answer"]), ""]
        for citation in turn["citations"]:
            lines += [f"> {code_span(citation['quote'])}", ">", f"> from {code_span(citation_location(citation))}", ""]
        lines += [line for notice in turn.get("notices", []) for line in (f"Note: {code_span(notice)}", "")]
    return "\n".join(lines)


def citation_location(citation: dict[str, Any]) -> str:
    """The location of a quote: headings, page, document and characters."""
    headings = " > ".join(part for part in (citation["title"], citation["heading"]) if part)
    page = f", page {citation['page']}" if citation["page"] else ""
    page += ", read by OCR" if citation.get("ocr") else ""
    return f"{headings}{page} ({citation['doc_id']}, characters {citation['start']} to {citation['end']})"
