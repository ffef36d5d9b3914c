"""The text of a DOCX in reading order: everything that a page shows, except headers and footers.

The whole tree is walked. Only deleted, moved away and hidden text is left out, and of each drawing the older of its two
forms. The walk keeps its own stack, because a document may be nested deeper than Python's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from retrieval.conversion.docx.blocks import Block, Cell, Kind, Rows, Text
from retrieval.conversion.docx.fields import Fields
from retrieval.conversion.docx.formula import M, formula_text
from retrieval.conversion.docx.markup import VAL, Element, is_on, number, switch, value, w
from retrieval.conversion.docx.notes import NoteKey, Notes
from retrieval.conversion.docx.numbering import BULLET, Numbering
from retrieval.conversion.docx.styles import PLAIN, RunStyle, Style, Styles, run_style
from retrieval.conversion.docx.symbols import symbol
from retrieval.conversion.raised import lowered, note_mark, raised, without_markers

_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_V = "{urn:schemas-microsoft-com:vml}"
_DIAGRAM = "{http://schemas.openxmlformats.org/drawingml/2006/diagram}"
_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_TEXT_TAGS = (w("t"), f"{M}t", f"{_A}t", f"{_V}textpath", f"{_DIAGRAM}relIds")
_SKIPPED = frozenset(
    {
        *(w(name) for name in ("pPr", "rPr", "sdtPr", "sdtEndPr", "tblPr", "tblPrEx", "tblGrid", "trPr", "tcPr")),
        *(w(name) for name in ("sectPr", "del", "moveFrom", "delText", "instrText", "delInstrText")),
        f"{_A}rPr",
        f"{_A}pPr",
    }
)
_CHARACTERS = {
    **{w(name): "\n" for name in ("br", "cr")},
    **{w(name): "\t" for name in ("tab", "ptab")},
    w("noBreakHyphen"): "-",
    f"{_A}br": "\n",
}


@dataclass(slots=True)
class _Paragraph:
    """A paragraph that is being read. `after` are its text boxes; `notes` is the number of notes due before it."""

    style: Style = PLAIN
    kind: Kind = "paragraph"
    level: int = 0
    label: str = ""
    joins_next: bool = False
    notes: int = 0
    pieces: list[str] = field(default_factory=list)
    after: list[Block] = field(default_factory=list)


@dataclass(slots=True)
class _Sink:
    """Where blocks go. `carried` is the text of a paragraph whose end was deleted: the next one continues it."""

    blocks: list[Block]
    carried: list[str] = field(default_factory=list)


class DocxReader:
    """Reads elements with paragraphs and tables to blocks, with the texts of notes at the end of each section."""

    def __init__(
        self, styles: Styles, numbering: Numbering, notes: Notes, diagram: Callable[[str], Element | None]
    ) -> None:
        self._styles = styles
        self._numbering = numbering
        self._notes = notes
        # The root of the part with the text of a diagram, which the document refers to.
        self._diagram = diagram
        self._fields = Fields()
        self._sinks: list[_Sink] = []
        self._paragraphs: list[_Paragraph] = []
        self._runs: list[RunStyle] = []
        self._tables: list[Rows] = []
        # Places among the blocks of the body, and the notes whose texts belong there.
        self._notes_at: list[tuple[int, list[NoteKey]]] = []
        self._open: dict[str, Callable[[Element], bool]] = {
            w("p"): self._open_paragraph,
            w("r"): self._open_run,
            w("tbl"): self._open_table,
            w("tr"): self._open_row,
            w("tc"): self._open_cell,
            w("rt"): self._open_reading,
            w("txbxContent"): self._open_box,
            f"{_A}txBody": self._open_box,
            f"{_DIAGRAM}t": self._open_box,
            f"{_A}p": self._open_paragraph,
        }
        self._close: dict[str, Callable[[Element], None]] = {
            w("p"): self._close_paragraph,
            w("r"): lambda _: self._close_run(),
            w("tbl"): lambda _: self._close_table(),
            w("tr"): lambda _: self._tables[-1].end_row() if self._tables else None,
            w("tc"): self._close_cell,
            w("rt"): lambda _: self._write(")"),
            w("txbxContent"): lambda _: self._close_box(),
            f"{_A}txBody": lambda _: self._close_box(),
            f"{_DIAGRAM}t": lambda _: self._close_box(),
            f"{_A}p": self._close_paragraph,
        }

    def read(self, body: Element) -> list[Block]:
        """The blocks of the body. The text of a note stands at the end of the section that refers to it."""
        blocks = self._walk(body)
        places = [*self._notes_at, (len(blocks), self._notes.due[:])]
        result: list[Block] = []
        done = 0
        for place, keys in places:
            result += blocks[done:place]
            done = place
            self._notes.due.clear()
            # A note may refer to others.
            while keys:
                for key in keys:
                    result += self._notes.labelled(key, self._walk(self._notes.texts[key]))
                keys = self._notes.due[:]
                self._notes.due.clear()
        return result

    def _walk(self, root: Element) -> list[Block]:
        sink = _Sink([])
        self._sinks.append(sink)
        stack: list[tuple[Element, bool]] = [(root, False)]
        while stack:
            element, done = stack.pop()
            tag = element.tag
            if done:
                self._close[tag](element)
                continue
            if tag in _SKIPPED or not isinstance(tag, str):
                continue
            if self._is_leaf(element, tag):
                continue
            if (opens := self._open.get(tag)) is not None:
                if not opens(element):
                    continue
                stack.append((element, True))
            if tag == f"{_MC}AlternateContent":
                chosen = _alternative(element)
                stack += [(chosen, False)] if chosen is not None else []
            elif tag == w("ruby"):
                # The base text, and then how it is read.
                stack += [(child, False) for name in ("rt", "rubyBase") for child in element.findall(w(name))]
            elif tag == f"{_DIAGRAM}relIds":
                diagram = self._diagram(element.get(f"{_RELATION}dm", ""))
                stack += [(diagram, False)] if diagram is not None else []
            else:
                stack += [(child, False) for child in reversed(element)]
        self._end_sink()
        return sink.blocks

    def _is_leaf(self, element: Element, tag: str) -> bool:
        """Writes the text of an element that has no text below it."""
        if tag in {w("t"), f"{_A}t"}:
            self._write(element.text or "")
        elif tag in _CHARACTERS:
            self._write(_CHARACTERS[tag])
        elif tag == w("sym"):
            self._write(symbol(element.get(w("font"), ""), element.get(w("char"), "")))
        elif tag == f"{M}oMath":
            self._write(formula_text(element))
        elif tag == w("fldChar"):
            self._write_always(self._fields.meet(element))
        elif tag in {w("footnoteReference"), w("endnoteReference")}:
            kind = tag.removeprefix(w("")).removesuffix("Reference")
            has_own_mark = is_on(element.get(w("customMarkFollows"), "0"))
            if self._is_shown():
                note = self._notes.refer(kind, element.get(w("id"), ""), has_own_mark=has_own_mark)
                self._paragraphs[-1].pieces += [note_mark(note)] if note else []
        elif tag == f"{_V}textpath" and self._paragraphs:
            self._paragraphs[-1].after.append(Text(element.get("string", "")))
        else:
            return False
        return True

    # Text

    def _is_shown(self) -> bool:
        hidden = bool(self._runs and self._runs[-1].hidden)
        return bool(self._paragraphs) and not hidden and not self._fields.in_instruction

    def _write(self, text: str) -> None:
        if not text or not self._is_shown():
            return
        text = without_markers(text)
        position = self._runs[-1].position if self._runs else None
        if position == "superscript":
            text = raised(text)
        elif position == "subscript":
            text = lowered(text)
        self._paragraphs[-1].pieces.append(text)

    def _write_always(self, text: str) -> None:
        """A filled field, whose text stands where its instruction begins."""
        if text and self._paragraphs:
            self._paragraphs[-1].pieces.append(without_markers(text))

    # Runs and paragraphs

    def _open_run(self, run: Element) -> bool:
        base = self._paragraphs[-1].style.run if self._paragraphs else RunStyle()
        # A style that raises a whole paragraph does not set its text apart from any other on the line.
        base = RunStyle(base.hidden)
        properties = run.find(w("rPr"))
        if properties is not None:
            style_id = value(properties, "rStyle")
            if style_id is not None:
                base = self._styles.run(style_id).over(base)
            base = run_style(properties).over(base)
        self._runs.append(base)
        return True

    def _close_run(self) -> None:
        self._runs.pop()

    def _open_paragraph(self, element: Element) -> bool:
        properties = element.find(w("pPr"))
        style_id = value(properties, "pStyle")
        style = self._styles.paragraph(style_id)
        paragraph = _Paragraph(style, notes=len(self._notes.due))
        mark = properties.find(w("rPr")) if properties is not None else None
        if mark is not None:
            paragraph.joins_next = mark.find(w("del")) is not None or mark.find(w("moveFrom")) is not None
        carried = self._sinks[-1].carried
        paragraph.pieces, self._sinks[-1].carried = carried, []
        if not paragraph.joins_next:
            self._number(paragraph, properties, style_id, is_hidden=bool(switch(mark, "vanish")))
        self._paragraphs.append(paragraph)
        return True

    def _number(
        self, paragraph: _Paragraph, properties: Element | None, style_id: str | None, *, is_hidden: bool
    ) -> None:
        """Set what a paragraph is, and the number that it has."""
        style = paragraph.style
        outline = number(properties, "outlineLvl")
        heading = outline + 1 if outline is not None and 0 <= outline <= 8 else style.heading
        own = properties.find(w("numPr")) if properties is not None else None
        num_id = value(own, "numId") or style.num_id
        if num_id and num_id != "0" and not is_hidden:
            level = number(own, "ilvl")
            if level is None and value(own, "numId") is None:
                of_style = self._numbering.level_of_style(num_id, style_id)
                level = of_style if of_style is not None else style.list_level
            paragraph.kind, paragraph.level = "entry", level or style.list_depth
            paragraph.label = self._numbering.next_label(num_id, level or 0)
        elif style.list_name and num_id != "0":
            is_entry = "continue" not in style.list_name and "paragraph" not in style.list_name
            paragraph.kind, paragraph.level = "entry" if is_entry else "continued", style.list_depth
            paragraph.label = BULLET if is_entry else ""
        if heading:
            paragraph.kind, paragraph.level = "heading", heading

    def _close_paragraph(self, _: Element) -> None:
        self._fields.end_paragraph()
        paragraph = self._paragraphs.pop()
        sink = self._sinks[-1]
        if paragraph.joins_next:
            sink.carried = paragraph.pieces
            sink.blocks += paragraph.after
            return
        text = "".join(paragraph.pieces)
        if paragraph.kind == "heading" and len(self._sinks) == 1 and paragraph.notes and text.strip():
            self._notes_at.append((len(sink.blocks), self._notes.due[: paragraph.notes]))
            del self._notes.due[: paragraph.notes]
        sink.blocks += [Text(text, paragraph.kind, paragraph.level, paragraph.label), *paragraph.after]

    def _open_reading(self, _: Element) -> bool:
        self._write("(")
        return True

    # Text boxes and tables

    def _open_box(self, _: Element) -> bool:
        # Runs in the box are not part of the run that holds it.
        self._runs.append(RunStyle(self._runs[-1].hidden if self._runs else None))
        self._sinks.append(_Sink(self._paragraphs[-1].after if self._paragraphs else self._sinks[-1].blocks))
        return True

    def _close_box(self) -> None:
        self._end_sink()
        self._runs.pop()

    def _end_sink(self) -> None:
        sink = self._sinks.pop()
        if sink.carried:
            sink.blocks.append(Text("".join(sink.carried)))

    def _open_table(self, _: Element) -> bool:
        self._tables.append(Rows())
        return True

    def _close_table(self) -> None:
        self._sinks[-1].blocks += self._tables.pop().blocks()

    def _open_row(self, row: Element) -> bool:
        properties = row.find(w("trPr"))
        if not self._tables or (properties is not None and properties.find(w("del")) is not None):
            return False
        if switch(properties, "hidden"):
            return False
        self._tables[-1].start_row(number(properties, "gridBefore") or 0)
        return True

    def _open_cell(self, cell: Element) -> bool:
        if not self._tables:
            return False
        self._sinks.append(_Sink([]))
        return True

    def _close_cell(self, cell: Element) -> None:
        sink = self._sinks[-1]
        self._end_sink()
        properties = cell.find(w("tcPr"))
        merge = properties.find(w("vMerge")) if properties is not None else None
        deleted = properties is not None and properties.find(w("cellDel")) is not None
        self._tables[-1].add(
            Cell(
                [] if deleted else sink.blocks,
                columns=number(properties, "gridSpan") or 1,
                continues=merge is not None and merge.get(VAL, "continue") == "continue",
                continues_left=value(properties, "hMerge") == "continue",
            )
        )


def _alternative(element: Element) -> Element | None:
    """One of the forms of the same content: the first with text, otherwise the last."""
    forms = [child for child in element if child.tag in {f"{_MC}Choice", f"{_MC}Fallback"}]
    with_text = (form for form in forms if next(form.iter(*_TEXT_TAGS), None) is not None)
    return next(with_text, forms[-1] if forms else None)
