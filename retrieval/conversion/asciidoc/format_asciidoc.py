"""AsciiDoc: headings, paragraphs, lists, tables and code, without comments, attributes and inserted files.

The language is that of https://docs.asciidoctor.org/asciidoc/latest/.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from retrieval.conversion.asciidoc.inline import inline_text
from retrieval.conversion.asciidoc.lists import ListState
from retrieval.conversion.asciidoc.tables import write_table
from retrieval.conversion.converted import Converted, MarkdownWriter, decode_utf8, insert_notes, one_line
from retrieval.conversion.raised import without_markers

VERSION = "asciidoc/2"
SUFFIXES = (".adoc", ".asciidoc")

_HEADING = re.compile(r"(={1,6}|#{1,6})\s+(\S.*)")
# A title with a line of marks below it, which is as long as the title or one character longer or shorter.
_UNDERLINE = re.compile(r"(={3,}|-{3,}|~{3,}|\^{3,}|\+{3,})")
_UNDERLINES = "=-~^+"
_ATTRIBUTE = re.compile(r":(!?)([\w-]+)(!?):(?:\s+(.*))?")
_STYLE = re.compile(r"\[(.*)\]")
_INSERT = re.compile(r"include::[^\[]+\[.*\]")
_CONDITION = re.compile(r"(ifdef|ifndef|ifeval|endif)::[^\[]*\[(.*)\]")
_DIRECTIVE = re.compile(r"(?:image|video|audio|toc)::[^\[]*\[.*\]|'{3,}|<{3,}|\+")
_ITEM = re.compile(r"\s*(\*{1,5}|-|\.{1,5}|\d+\.|<[\d.]+>)\s+(\S.*)")
_NUMBERED = re.compile(r"\s*\d+\.\s")
_TERM = re.compile(r"(\S.*?)(:{2,4}|;;)(?:\s+(\S.*))?")
_ADMONITION = re.compile(r"(NOTE|TIP|IMPORTANT|WARNING|CAUTION):\s+(.*)", re.DOTALL)
_LABELS = ("NOTE", "TIP", "IMPORTANT", "WARNING", "CAUTION")
_TITLE = re.compile(r"\.([^\s.].*)")
# Blocks whose lines are text as it is, and those that hold other blocks.
_VERBATIM = re.compile(r"(-{4,}|\.{4,}|\+{4,}|/{4,})|(`{3,})[^`]*")
_CONTAINER = re.compile(r"={4,}|\*{4,}|_{4,}|--")
# Styles that make a block or a paragraph code, a formula, lines of a poem, or a quotation; and one that hides it.
_CODE_STYLES = frozenset({"source", "listing", "literal"})
_FORMULA_STYLES = frozenset({"stem", "latexmath", "asciimath"})
_VERSE, _HIDDEN = "verse", "comment"
_RAW_STYLES = _CODE_STYLES | {_VERSE, _HIDDEN}
_QUOTES = frozenset({"quote", _VERSE})
_START = re.compile(r"\bstart=\"?(\d{1,9})")
_COUNTER = re.compile(r"\{counter(2?):([\w-]{1,80})(?::(\d{1,9}))?\}")
_LONGEST_VALUE = 400
_TABLE = re.compile(r"([|,:!])={3,}")


def convert(data: bytes, name: str) -> Converted:
    """Raises ConversionError if the file is not UTF-8 text."""
    lines, inserts = _preprocessed(without_markers(decode_utf8(data, name)).split("\n"))
    reader = _Reader(lines, {})
    reader.read()
    return Converted(reader.writer.text(), reader.writer.title, notes=insert_notes(inserts))


def _preprocessed(lines: list[str]) -> tuple[list[str], int]:
    """The lines without those that insert files or begin and end conditions, and the number of inserted files.

    They may stand anywhere, also within code, tables and paragraphs. A condition may have its text on its own line.
    """
    kept: list[str] = []
    inserts = 0
    for line in lines:
        if not line.startswith(("include::", "if", "endif::", "\\")):
            kept.append(line)
        elif _INSERT.fullmatch(line.rstrip()):
            inserts += 1
        elif found := _CONDITION.fullmatch(line.rstrip()):
            if found[1] in {"ifdef", "ifndef"} and found[2]:
                kept.append(found[2])
        else:
            escaped = line.startswith("\\") and any(
                pattern.fullmatch(line[1:].rstrip()) for pattern in (_INSERT, _CONDITION)
            )
            kept.append(line[1:] if escaped else line)
    return kept, inserts


class _Reader:
    def __init__(self, lines: list[str], attributes: dict[str, str]) -> None:
        self.writer = MarkdownWriter()
        self._lines = lines
        self._at = 0
        self._attributes = attributes
        self._style = ""
        self._label = ""
        self._lists = ListState()
        # The marks of the blocks that are open, with the lists around each and what is said below it.
        self._open: list[tuple[str, ListState, str]] = []

    def read(self) -> None:
        while self._at < len(self._lines):
            line = self._lines[self._at].rstrip()
            readers: tuple[Callable[[str], bool], ...] = (
                self._underlined, self._nothing, self._attribute, self._container, self._verbatim, self._table,
                self._heading, self._item, self._term,
            )  # fmt: skip
            if not any(read(line) for read in readers):
                self._paragraph()
        while self._open:
            self._close()

    def _nothing(self, line: str) -> bool:
        """A line without text of its own."""
        if style := _STYLE.fullmatch(line):
            # A block may have several such lines, as one for its columns and one for its name.
            self._style = f"{self._style},{style[1]}" if self._style else style[1]
            named = style[1].split(",")[0].strip()
            self._label = named.capitalize() if named in _LABELS else self._label
        elif title := _TITLE.fullmatch(line):
            self.writer.paragraph(self._text(title[1]))
        elif not line.strip():
            if not self._goes_on():
                self._lists.end()
        elif not ((line.startswith("//") and not line.startswith("///")) or _DIRECTIVE.fullmatch(line)):
            return False
        self._at += 1
        return True

    def _goes_on(self) -> bool:
        """Whether a list goes on after an empty line: with an entry, or with what is attached to the last one."""
        following = next((line for line in self._lines[self._at + 1 : self._at + 10] if line.strip()), "").rstrip()
        return (
            following == "+"
            or following.startswith((" ", "\t"))
            or any(pattern.fullmatch(following) for pattern in (_ITEM, _TERM))
        )

    def _attribute(self, line: str) -> bool:
        found = _ATTRIBUTE.fullmatch(line)
        if found is None:
            return False
        self._at += 1
        value = found[4] or ""
        while value.endswith(" \\") and self._at < len(self._lines):
            value = f"{value[:-2].removesuffix(' +')} {self._lines[self._at].strip()}"
            self._at += 1
        name = found[2].lower()
        if found[1] or found[3]:
            self._attributes.pop(name, None)
        else:
            # Values may name each other, so that a few lines could stand for an endless text.
            self._attributes[name] = self._text(value)[:_LONGEST_VALUE]
        return True

    def _styles(self) -> list[str]:
        """The styles of the next block, without their options, such as `source` of `[source%linenums,ruby]`."""
        return [re.split(r"[%#.]", part)[0].strip() for part in self._style.split(",")]

    def _styled(self, some: frozenset[str]) -> str:
        """The first of some styles that the next block has."""
        return next((style for style in self._styles() if style in some), "")

    def _said_by(self) -> str:
        """Who said the quotation that follows, and where."""
        parts = [part.strip().strip('"') for part in self._style.split(",")]
        said_by = ", ".join(part for part in parts[1:] if part and "=" not in part)
        return f"— {said_by}" if said_by and re.split(r"[%#.]", parts[0])[0] in _QUOTES else ""

    def _begin(self, *, keeps_label: bool = False) -> None:
        """Before a block, forget the style read above it. If a note begins with a list or code, write its label."""
        self._style = ""
        if self._label and not keeps_label:
            self.writer.paragraph(f"{self._label}:")
            self._label = ""

    def _container(self, line: str) -> bool:
        if _CONTAINER.fullmatch(line) is None:
            return False
        if self._open and self._open[-1][0] == line:
            self._at += 1
            self._close()
            return True
        style = self._styled(_RAW_STYLES)
        said_by = self._said_by()
        if style:
            self._raw(self._until(lambda other: other.rstrip() == line), style)
            self.writer.paragraph(said_by)
            return True
        self._at += 1
        self._open.append((line, self._lists, said_by))
        self._lists = ListState()
        self._begin(keeps_label=True)
        return True

    def _close(self) -> None:
        _, self._lists, said_by = self._open.pop()
        self._begin()
        self.writer.end_group()
        self.writer.paragraph(said_by)

    def _verbatim(self, line: str) -> bool:
        found = _VERBATIM.fullmatch(line)
        if found is None:
            return False
        mark = found[1] or found[2]
        inside = self._until(lambda other: other.rstrip() == mark)
        if mark[0] == "/" or (mark[0] == "+" and not self._styled(_FORMULA_STYLES)):
            self._style = self._label = ""
        elif mark[0] == "+":
            self._begin()
            self.writer.paragraph("\n".join(filter(str.strip, inside)))
        else:
            self._raw(inside, self._styled(_RAW_STYLES))
        self._lists.callouts = 0
        return True

    def _raw(self, lines: list[str], style: str) -> None:
        """Lines that keep their ends."""
        if style == _HIDDEN:
            self._style = self._label = ""
            return
        self._begin()
        if style == _VERSE:
            self.writer.paragraph("\n".join(map(self._text, lines)))
        else:
            self.writer.code("\n".join(lines))

    def _table(self, line: str) -> bool:
        found = _TABLE.fullmatch(line)
        if found is None:
            return False
        inside = self._until(lambda other: other.rstrip() == line)
        style = self._style
        self._begin()
        write_table(inside, style, found[1], self._text, self._blocks, self.writer)
        return True

    def _blocks(self, text: str) -> str:
        """The text of a cell that holds blocks, on one line."""
        reader = _Reader(text.strip().split("\n"), self._attributes)
        reader.read()
        return one_line(reader.writer.text())

    def _until(self, is_end: Callable[[str], bool]) -> list[str]:
        """The lines up to the end of a block, or of the file."""
        first = self._at + 1
        end = next((n for n in range(first, len(self._lines)) if is_end(self._lines[n])), len(self._lines))
        self._at = end + 1
        return self._lines[first:end]

    def _heading(self, line: str) -> bool:
        found = _HEADING.fullmatch(line)
        if found:
            mark, text = found.groups()
            self._at += 1
            self._write_heading(len(mark), text.removesuffix(f" {mark}"))
        return found is not None

    def _underlined(self, line: str) -> bool:
        below = self._lines[self._at + 1].rstrip() if self._at + 1 < len(self._lines) else ""
        found = _UNDERLINE.fullmatch(below)
        if (
            found is None
            # A block has no titles, and the line may be its end.
            or self._open
            or abs(len(line) - len(below)) > 1
            or not re.match(r"[^\W_]|[^\s.\[|:/]\S*\w", line)
            or any(pattern.fullmatch(line) for pattern in (_ITEM, _TERM, _HEADING, _CONTAINER, _VERBATIM))
        ):
            return False
        self._at += 2
        self._write_heading(_UNDERLINES.index(below[0]) + 1, line)
        return True

    def _write_heading(self, level: int, text: str) -> None:
        begins = level == 1 and self.writer.title is None
        self._begin()
        self._lists.end()
        self.writer.heading(level, self._text(text))
        if begins:
            self._header()

    def _header(self) -> None:
        """The lines right under the title: author and version, attributes and comments."""
        while self._at < len(self._lines) and (line := self._lines[self._at].rstrip()):
            if line.startswith("////"):
                self._verbatim(line)
            elif not self._attribute(line):
                self._at += 1
                if not line.startswith("//"):
                    self.writer.paragraph(self._text(line))

    def _item(self, line: str) -> bool:
        found = _ITEM.fullmatch(line)
        if found is None:
            return False
        mark, text = found.groups()
        self._at += 1
        start = _START.search(self._style)
        self._begin()
        if self._lists.begins(mark):
            self.writer.end_group()
        depth, marker = self._lists.next(mark, int(start[1]) if start else 1)
        self.writer.entry(self._text("\n".join([text, *self._more()])), depth, marker=marker)
        return True

    def _term(self, line: str) -> bool:
        found = _TERM.fullmatch(line)
        if found is None:
            return False
        self._at += 1
        self._begin()
        self._lists.term(found[2])
        term = self._text(found[1])
        said = self._text("\n".join([found[3] or "", *(self._more() if found[3] else self._next_paragraph())]))
        self.writer.paragraph(f"{term}: {said}" if said else term)
        return True

    def _next_paragraph(self) -> list[str]:
        """The paragraph that follows at once, if it is one."""
        while self._at < len(self._lines) and not self._lines[self._at].strip():
            self._at += 1
        following = self._lines[self._at].rstrip() if self._at < len(self._lines) else ""
        is_other = any(pattern.fullmatch(following) for pattern in (_HEADING, _TITLE, _ATTRIBUTE, _ADMONITION))
        return [] if is_other else self._more()

    def _paragraph(self) -> None:
        first = self._lines[self._at]
        self._at += 1
        style, said_by = self._styled(_RAW_STYLES), self._said_by()
        if style:
            end = next((n for n in range(self._at, len(self._lines)) if not self._lines[n].strip()), len(self._lines))
            lines = [first, *self._lines[self._at : end]]
            self._at = end
            self._raw(lines, style)
        elif first.startswith((" ", "\t")):
            self._begin()
            self.writer.code("\n".join([first, *self._more(in_paragraph=True)]))
        else:
            lines = [first, *self._more(in_paragraph=True)]
            # A space and a plus at the end break a line.
            text = "\n".join(self._text(part) for part in re.split(r" \+\n", "\n".join(lines)))
            if admonition := _ADMONITION.fullmatch(text):
                text = f"{admonition[1].capitalize()}: {admonition[2]}"
            self.writer.paragraph(f"{self._label}: {text}" if self._label else text)
            self._style = self._label = ""
        self.writer.paragraph(said_by)

    def _more(self, *, in_paragraph: bool = False) -> list[str]:
        """Further lines of a paragraph or entry.

        Entries and terms do not end a paragraph outside lists: one of its lines may begin with a number, or hold two
        colons. Lines with marks of entries are read as entries even so, unless they are code.
        """
        ends = [_STYLE, _DIRECTIVE, _CONTAINER, _VERBATIM, _TABLE]
        is_outside = in_paragraph and self._lists.is_empty()
        is_code = self._lines[self._at - 1].startswith((" ", "\t"))
        if not is_outside:
            ends += [_ITEM, _TERM]
        elif not is_code:
            ends.append(_ITEM)
        found = []
        while self._at < len(self._lines):
            line = self._lines[self._at].rstrip()
            is_end = any(pattern.fullmatch(line) for pattern in ends)
            if not line.strip() or (is_end and not (is_outside and _NUMBERED.match(line))):
                break
            if not line.startswith("//"):
                found.append(line)
            self._at += 1
        return found

    def _text(self, text: str) -> str:
        return inline_text(_COUNTER.sub(self._counted, text), self._attributes)

    def _counted(self, found: re.Match[str]) -> str:
        """The next number of a counter, which is an attribute."""
        hidden, name, first = found[1], found[2].lower(), found[3]
        last = self._attributes.get(name, "")
        number = str(int(last) + 1) if last.isdecimal() else first or "1"
        self._attributes[name] = number
        return "" if hidden else number
