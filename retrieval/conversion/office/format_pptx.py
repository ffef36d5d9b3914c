"""PPTX: the slides in their order, with titles as headings, lists, tables and the speaker's notes."""

from __future__ import annotations

from typing import Any

from retrieval.conversion.converted import Converted, MarkdownWriter, one_line
from retrieval.conversion.office.archive import Archive, opened, relation_id
from retrieval.conversion.office.grid import Grid
from retrieval.conversion.raised import in_line, lowered, raised

VERSION = "pptx/2"

_MAIN = "ppt/presentation.xml"
# Repeated on each slide.
_LEFT_OUT = {"sldNum", "ftr", "dt", "hdr", "sldImg"}


def convert(data: bytes, name: str) -> Converted:
    """Slides that are hidden are left out. Raises ConversionError if the file is not a presentation or is damaged."""
    with opened(data, name, "a PPTX presentation", _MAIN) as archive:
        writer = MarkdownWriter()
        related = archive.related(_MAIN)
        for entry in archive.xml(_MAIN).iter("{*}sldId"):
            _, part = related[relation_id(entry)]
            slide = archive.xml(part)
            if slide.get("show") not in {"0", "false"}:
                _write_slide(writer, archive, part, slide)
        return Converted(writer.text(), writer.title)


def _write_slide(writer: MarkdownWriter, archive: Archive, part: str, slide: Any) -> None:
    writer.end_group()
    for tree in slide.iter("{*}spTree"):
        _write_shapes(writer, tree)
    for kind, notes in archive.related(part).values():
        if kind == "notesSlide" and notes in archive.names:
            for shape in archive.xml(notes).iter("{*}sp"):
                if _placeholder(shape) == "body":
                    writer.paragraph("\n".join(filter(None, map(_text, shape.iter("{*}p")))))


def _write_shapes(writer: MarkdownWriter, tree: Any) -> None:
    for shape in tree:
        name = shape.tag.rsplit("}", 1)[-1]
        if name == "grpSp":
            _write_shapes(writer, shape)
        elif name == "AlternateContent":
            _write_shapes(writer, shape[0])
        elif name == "graphicFrame":
            for table in shape.iter("{*}tbl"):
                _write_table(writer, table)
        elif name == "sp" and _placeholder(shape) not in _LEFT_OUT:
            _write_text(writer, shape)


def _placeholder(shape: Any) -> str | None:
    """The kind of placeholder. One without a kind is for the body; None if the shape is not a placeholder."""
    holder = next(shape.iter("{*}ph"), None)
    return None if holder is None else holder.get("type", "body")


def _write_text(writer: MarkdownWriter, shape: Any) -> None:
    kind = _placeholder(shape)
    paragraphs = list(shape.iterfind("{*}txBody/{*}p"))
    if kind in {"title", "ctrTitle"}:
        writer.heading(1, " ".join(map(_text, paragraphs)))
        return
    writer.end_group()
    numbers: dict[int, int] = {}
    for paragraph in paragraphs:
        properties = paragraph.find("{*}pPr")
        level = int(properties.get("lvl", 0)) if properties is not None else 0
        automatic = properties.find("{*}buAutoNum") if properties is not None else None
        numbers = {key: value for key, value in numbers.items() if key <= level}
        text = _text(paragraph)
        if not text:
            continue
        if automatic is not None:
            numbers[level] = numbers.get(level, int(automatic.get("startAt", 1)) - 1) + 1
            writer.entry(f"{numbers[level]}. {one_line(text)}", level)
        elif kind == "body" or level or (properties is not None and properties.find("{*}buChar") is not None):
            numbers.pop(level, None)
            writer.entry(text, level)
        else:
            numbers.pop(level, None)
            writer.paragraph(text)


def _write_table(writer: MarkdownWriter, table: Any) -> None:
    grid = Grid()
    for row, line in enumerate(table.iterfind("{*}tr")):
        for column, cell in enumerate(line.iterfind("{*}tc")):
            text = " ".join(filter(None, map(_text, cell.iter("{*}p"))))
            # A cell that another one covers is set already.
            grid.set(row, column, text, int(cell.get("rowSpan", 1)), int(cell.get("gridSpan", 1)))
    grid.write(writer)


def _text(paragraph: Any) -> str:
    """The text of a paragraph, with its line breaks."""
    parts: list[str] = []
    for run in paragraph:
        name = run.tag.rsplit("}", 1)[-1]
        text = "".join(one.text or "" for one in run.iter("{*}t"))
        properties = run.find("{*}rPr")
        baseline = int(properties.get("baseline", 0)) if properties is not None else 0
        if name == "br":
            parts.append("\n")
        elif baseline > 0:
            parts.append(raised(text))
        else:
            parts.append(lowered(text) if baseline < 0 else text)
    return "\n".join(filter(None, map(one_line, in_line("".join(parts), ()).split("\n"))))
