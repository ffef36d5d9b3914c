"""The words of a PDF page with their places, read with PDFium."""

from __future__ import annotations

import math
import re
import unicodedata
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from ctypes import CFUNCTYPE, addressof, c_double, c_int, c_ushort, c_void_p, cast
from dataclasses import dataclass, replace
from typing import Any

from retrieval.conversion.pdf.fonts import Fonts

# PDFium's mark for a hyphen at the end of a line, after which the word goes on in the next line.
HYPHEN = "\ufffe"
# The dots that lead to a page number are one word.
_TOKEN = re.compile(f"\\.(?: \\.){{3,}}|[^\\s\xa0{HYPHEN}\x00]+{HYPHEN}?")
_RTL = re.compile("[\u0590-\u08ff\ufb1d-\ufdcf\ufdf0-\ufdff\ufe70-\ufeff]")
_FORMS = re.compile("[\ufb1d-\ufdcf\ufdf0-\ufdff\ufe70-\ufefe]")
_MARKERS = re.compile("[\ufdd0-\ufdef]")
SENTENCE_END = re.compile(r"""[.!?:;。！？；：]["'”’)\]]*$""")
LOWER_START = re.compile(r"[\W_]*[a-zß-öø-ÿа-я]")
# The end of a line of a table of contents or an index.
LEADER = re.compile(r"(?:\.\s?){4,}\s*\w{1,6}$")
# "errors, 44, 129–131"
INDEX_ENTRY = re.compile(r".*[^\W\d].*(?:,\s?\d{1,4}(?:\s?[-–]\s?\d{1,4})?)+,?")
_MOST = 0.7
_HAS_DIGIT = re.compile(r"\d")
_GET_ORIGIN = CFUNCTYPE(c_int, c_void_p, c_int, c_void_p, c_void_p)
_GET_SIZE = CFUNCTYPE(c_double, c_void_p, c_int)
_OPENS = frozenset("(+−–-")
_SPACES = frozenset(" \r\n\xa0")
# Within a word, characters whose size or base line differs by more are raised or lowered.
_OTHER_SIZE, _OTHER_BASE = 0.12, 0.1
# Relative to the size of the text.
_CAPITAL_HEIGHT = 0.7
# Parts whose base lines differ by more stand on different lines.
_OTHER_LINE = 1.0
# A word that seems wider, relative to the size of the text, has a gap after it. Most words are not: to ask for the box
# of each would take long.
_WIDE_LETTER, _GAP = 0.5, 0.9


@dataclass(slots=True)
class Word:
    """A word in points, in the direction of its text: x grows along the line, y upwards.

    Attributes:
        base: the y of its base line.
        spaces: the number of space characters before it.
        breaks: whether PDFium begins a line with it.
        turn: the quarter turns of its direction.
        is_rtl: whether it has Arabic or Hebrew letters.
        advance: the width of a character if its line begins in a font of which all have one width; 0.0 otherwise.
        end: the index after its last character if `right` may be the end of the gap after it; 0 if it is not.
    """

    text: str
    left: float
    right: float
    base: float
    size: float
    spaces: int = 0
    breaks: bool = False
    turn: int = 0
    is_rtl: bool = False
    advance: float = 0.0
    end: int = 0


def has_index_entries(lines: Sequence[str]) -> bool:
    """Whether most lines are words, a comma, and the numbers of pages."""
    return sum(INDEX_ENTRY.fullmatch(line[-200:]) is not None for line in lines) >= _MOST * len(lines)


def read_words(text_page: Any, box: tuple[float, float, float, float] | None = None) -> list[Word]:
    """The words in PDFium's order. Those in another direction than most of the page come last.

    `box`: the left, bottom, right and top of what is shown; words outside it are left out.
    """
    reader = _Reader(text_page)
    words = reader.words()
    if box is not None:
        boxes = [_turned_box(box, turn) for turn in range(4)]
        words = [word for word in words if _is_shown(word, *boxes[word.turn])]
    turns = Counter[int]()
    for word in words:
        turns[word.turn] += len(word.text)
    if len(turns) > 1:
        order = [turn for turn, _ in turns.most_common()]
        words.sort(key=lambda word: order.index(word.turn))
    return words


def _turned_box(box: tuple[float, float, float, float], turn: int) -> tuple[float, float, float, float]:
    x1, y1 = _turned(box[0], box[1], turn)
    x2, y2 = _turned(box[2], box[3], turn)
    return min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)


def _is_shown(word: Word, left: float, bottom: float, right: float, top: float) -> bool:
    """Whether some of a word is within a box."""
    return (
        word.left < right
        and word.right >= left
        and word.base < top
        and word.base + _CAPITAL_HEIGHT * word.size > bottom
    )


class _Reader:
    """Calls PDFium as rarely as possible: a call per character would take longer than all the rest."""

    def __init__(self, text_page: Any) -> None:
        import pypdfium2.raw as raw

        self._raw = raw
        self._handle = text_page.raw
        self._page = text_page
        self._count = text_page.count_chars()
        self._x, self._y = c_double(), c_double()
        self._to_x, self._to_y = addressof(self._x), addressof(self._y)
        # By address: ctypes takes longer to check typed pointers than PDFium takes to answer.
        self._address = cast(self._handle, c_void_p).value
        self._get_origin = _GET_ORIGIN(cast(raw.FPDFText_GetCharOrigin, c_void_p).value or 0)
        self._get_size = _GET_SIZE(cast(raw.FPDFText_GetFontSize, c_void_p).value or 0)
        self._fonts = Fonts(text_page)
        self._matrix = raw.FS_MATRIX()
        self._text = self._read_text()
        self._has_rtl = _RTL.search(self._text) is not None
        self._font_size, self._last_size = -1.0, (1.0, 0)

    def words(self) -> list[Word]:
        text, handle = self._text, self._address
        origin, to_x, to_y, at_x, at_y = self._get_origin, self._to_x, self._to_y, self._x, self._y
        has_rtl, has_digit = self._has_rtl, _HAS_DIGIT.search
        gaps: list[int] = []
        is_number = False
        words: list[Word] = []
        done, last_base, advance = 0, 0.0, 0.0
        for match in _TOKEN.finditer(text):
            start, end = match.span()
            if start == done + 1 and text[done] in " \xa0":
                spaces, breaks = 1, False
            else:
                between = text[done:start]
                spaces = between.count(" ") + between.count("\xa0")
                breaks = "\n" in between or "\r" in between or text[done - 1 : done] == HYPHEN
            done = end
            token = match[0]
            origin(handle, start, to_x, to_y)
            left, base = at_x.value, at_y.value
            size, turn = self._size_at(start, breaks or base != last_base)
            if breaks or base != last_base or is_number:
                advance = self._fonts.advance_at(start) * size
            # The number of a line in a listing may be in another font.
            is_number = not advance and (breaks or not words) and token.isdecimal()
            last_base = base
            # Most words are plain ones, for which two calls are enough.
            if turn == 0 and text[end : end + 1] == " " and not has_rtl and (token.isalpha() or not has_digit(token)):
                origin(handle, end, to_x, to_y)
                right = at_x.value
                plain = token if token.isascii() else _plain(token)
                right = right if right > left else left
                word = Word(plain, left, right, base, size, spaces, breaks, 0, False, advance, end)
                words.append(word)
            else:
                words += self._read(token, start, end, spaces, breaks, advance)
                word = words[-1]
            if word.right - word.left > (_WIDE_LETTER * (end - start) + _GAP) * size and self._has_gap(word):
                gaps.append(len(words) - 1)
        self._find_gaps(words, gaps)
        return words

    def _find_gaps(self, words: list[Word], gaps: list[int]) -> None:
        """Find the gaps after all words in the lines beside those with the gaps that were found, as in a table."""
        starts = [number for number, word in enumerate(words) if not number or word.breaks]
        lines = [bisect_right(starts, number) - 1 for number in gaps]
        known: set[int] = set()
        while lines:
            line = lines.pop()
            for near in (line - 1, line, line + 1):
                if near in known or not 0 <= near < len(starts):
                    continue
                known.add(near)
                end = starts[near + 1] if near + 1 < len(starts) else len(words)
                if sum(map(self._has_gap, words[starts[near] : end])):
                    lines.append(near)

    def _has_gap(self, word: Word) -> bool:
        """Whether a gap follows a word, which is wider than a space. Corrects its right edge.

        A space that PDFium puts into a gap of the file stands at the end of the gap.
        """
        if not word.end:
            return False
        right = self._box(word.end - 1, 0)[1]
        gap, word.end = word.right - right, 0
        if word.left < right < word.right:
            word.right = right
        return gap > _GAP * word.size

    def _read_text(self) -> str:
        """One character per index of PDFium; a character beyond 16 bits is two."""
        units = (c_ushort * (self._count + 1))()
        if self._raw.FPDFText_GetText(self._handle, 0, self._count, units) == self._count + 1:
            codes = list(units[: self._count])
        else:
            read = (self._raw.FPDFText_GetUnicode(self._handle, index) for index in range(self._count))
            codes = [code if code < 0x10000 else 0xFFFD for code in read]
        # The markers of `raised` would be taken for this package's own.
        return _MARKERS.sub("\ufffd", "".join(map(chr, codes)).replace("\x02", HYPHEN))

    def _read(self, text: str, start: int, end: int, spaces: int, breaks: bool, advance: float) -> list[Word]:
        size, turn = self._last_size
        left, base = self._origin(start, turn)
        if self._has_rtl and _RTL.search(text) is not None:
            return [self._rtl_word(start, end, Word(text, left, left, base, size, spaces, breaks, turn, is_rtl=True))]
        if end - start > 1 and _HAS_DIGIT.search(text) is not None:
            parts = self._parts(start, end, turn)
        else:
            parts = [(start, end, left, base, size)]
        words: list[Word] = []
        for number, (first, last, x, y, height) in enumerate(parts):
            next_x, next_y = parts[number + 1][2:4] if number + 1 < len(parts) else (x, y)
            # PDFium joins a number with one on the line below, as in a column of numbers.
            is_last = next_x <= x or abs(next_y - y) > _OTHER_LINE * height
            right = self._end(last, turn, x) if is_last else next_x
            breaks_line = bool(words) and abs(words[-1].base - y) > _OTHER_LINE * height
            words.append(
                Word(_plain(self._text[first:last]), x, right, y, height, 0, breaks_line, turn, advance=advance)
            )
        words[0].spaces, words[0].breaks = spaces, breaks
        if turn == 0 and self._text[end : end + 1] in _SPACES:
            words[-1].end = end
        return words

    def _parts(self, start: int, end: int, turn: int) -> list[tuple[int, int, float, float, float]]:
        """The parts of a word on different base lines or in different sizes: start, end, x, y and size."""
        parts: list[tuple[int, int, float, float, float]] = []
        nominal = 0.0
        is_near_digit = False
        for index in range(start, end):
            is_digit = self._text[index].isdigit()
            was_near = is_near_digit
            # A bracket or a sign at a raised number is raised with it.
            is_near_digit = is_digit or (was_near and self._text[index] == ")")
            if parts and not is_digit and not was_near:
                parts[-1] = (parts[-1][0], index + 1, *parts[-1][2:])
                continue
            x, y = self._origin(index, turn)
            font_size = self._get_size(self._address, index)
            if parts:
                first, _, left, base, size = parts[-1]
                same_size = font_size == nominal or abs(self._size(index)[0] - size) <= _OTHER_SIZE * size
                if (same_size and abs(y - base) <= _OTHER_BASE * size) or self._text[index] == HYPHEN:
                    parts[-1] = (first, index + 1, left, base, size)
                    continue
            nominal = font_size
            opened = parts and index - 1 > parts[-1][0] and self._text[index - 1] in _OPENS
            if opened and abs(self._origin(index - 1, turn)[1] - y) <= _OTHER_BASE * self._size(index)[0]:
                first, _, left, base, size = parts[-1]
                parts[-1] = (first, index - 1, left, base, size)
                parts.append((index - 1, index + 1, self._origin(index - 1, turn)[0], y, self._size(index)[0]))
                continue
            parts.append((index, index + 1, x, y, self._size(index)[0]))
        return parts

    def _rtl_word(self, start: int, end: int, word: Word) -> Word:
        """A word that runs to the left. The letters of a ligature share a place, where PDFium turns them round."""
        places = [self._origin(index, word.turn)[0] for index in range(start, end)]
        characters = list(self._text[start:end])
        first = 0
        for index in range(1, len(places) + 1):
            if index == len(places) or places[index] != places[first]:
                if index - first > 1 and _RTL.match(characters[first]):
                    characters[first:index] = characters[first:index][::-1]
                first = index
        boxes = [self._box(index, word.turn) for index in (start, end - 1)]
        text = "".join(characters)
        text = _FORMS.sub(lambda match: unicodedata.normalize("NFKC", match[0]), text)
        left, right = min(box[0] for box in boxes), max(box[1] for box in boxes)
        return replace(word, text=_plain(text), left=left, right=right)

    def _size_at(self, index: int, is_other: bool) -> tuple[float, int]:
        """`_size` for the start of a word, which is mostly that of the word before on the same base line."""
        font_size = self._get_size(self._address, index)
        # Some programs write every size as 1 and scale it.
        if is_other or font_size != self._font_size or font_size <= 2:
            self._font_size, self._last_size = font_size, self._size(index)
        return self._last_size

    def _size(self, index: int) -> tuple[float, int]:
        """The printed size of a character, and the quarter turns of its direction."""
        matrix = self._matrix
        size = self._get_size(self._address, index)
        if not self._raw.FPDFText_GetMatrix(self._handle, index, matrix):
            return size or 1.0, 0
        size *= math.hypot(matrix.c, matrix.d)
        turn = (
            0 if abs(matrix.b) < abs(matrix.a) and matrix.a > 0 else round(math.atan2(matrix.b, matrix.a) / math.pi * 2)
        )
        return size or 1.0, turn % 4

    def _origin(self, index: int, turn: int) -> tuple[float, float]:
        self._get_origin(self._address, index, self._to_x, self._to_y)
        return _turned(self._x.value, self._y.value, turn)

    def _end(self, end: int, turn: int, left: float) -> float:
        """The x after the last character: that of the space or line end which follows, or the edge of its box."""
        if self._text[end : end + 1] in _SPACES and self._text[end - 1] != HYPHEN:
            return max(left, self._origin(end, turn)[0])
        return max(left, self._box(end - 1, turn)[1])

    def _box(self, index: int, turn: int) -> tuple[float, float]:
        left, bottom, right, top = self._page.get_charbox(index, loose=True)
        one, other = _turned(left, bottom, turn)[0], _turned(right, top, turn)[0]
        return min(one, other), max(one, other)


def _turned(x: float, y: float, turn: int) -> tuple[float, float]:
    if turn == 0:
        return x, y
    return ((y, -x), (-x, -y), (-y, x))[turn - 1]


def _plain(text: str) -> str:
    """The text with each surrogate pair as one character."""
    return text if text.isascii() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
