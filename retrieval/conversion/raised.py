"""Raised and lowered text on one line, so that it never joins the number before it.

| printed | written |
|---|---|
| a raised number after a number | `10⁶` |
| the same, if a note of that number is known | `30[2]` |
| a power of a unit, a letter, a product or a function | `m²`, `x²`, `mc²`, `sin²` |
| a raised negative number | `kg⁻¹`, `day⁻¹` |
| a raised mark after another word or punctuation, or at the start of a note | `days[2]`, `[2] Not for gifts` |
| other raised text after a number | `2^n`, `10^(2n)` |
| lowered digits after a letter; after a number | `CO₂`; `10_2` |
| a raised number before a letter | `^14C` |
| a fraction of small digits | `2 1/2` |

The characters that Unicode has for raised and lowered digits stay as they are. Those for fractions and numbers in
circles are kept apart from digits beside them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection

# A reader of a format puts these around raised and lowered text, and around the number of a note. They are
# noncharacters: no text contains them.
_UP, _DOWN, _NOTE, _END = "\ufdd0", "\ufdd1", "\ufdd2", "\ufdd3"
_MARKERS = f"{_UP}{_DOWN}{_NOTE}{_END}"

_RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾", "0123456789+-=()", strict=True))
_LOWERED = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎", "0123456789+-=()", strict=True))
_TO_RAISED = str.maketrans({plain: raised for raised, plain in _RAISED.items()} | {"−": "⁻", "–": "⁻"})
_TO_LOWERED = str.maketrans({plain: lowered for lowered, plain in _LOWERED.items()} | {"−": "₋", "–": "₋"})
# Runs of the same kind, one after the other.
_SAME = re.compile(f"(?P<kind>[{_UP}{_DOWN}])(?P<text>[^{_MARKERS}]*){_END}(?P=kind)")
_FRACTION = re.compile(
    f"(?P<before>\\d?){_UP}\\s*(\\d+)\\s*{_END}\\s*[/⁄∕]\\s*{_DOWN}\\s*(\\d+)\\s*{_END}(?P<after>\\d?)"
)
_SPAN = re.compile(f"(?P<kind>[{_UP}{_DOWN}{_NOTE}])(?P<text>[^{_MARKERS}]*){_END}?")
_STRAY = re.compile(f"[{_MARKERS}]")
# Characters with digits in their compatibility form, other than raised and lowered ones.
_COMPOSED = re.compile("[¼-¾⅐-⅟↉①-⒛⓪-⓿❶-➓㉈-㉏㉑-㉟㊱-㊿㋀-㋋㍘-㍰㏠-㏾🄀-🄌]")

_SIGNED = re.compile(r"[+−–-]?\d+|\d*[+−–-]")
_SEVERAL = re.compile(r"\d+[a-z]?(?:\s*[,;–-]\s*\d+[a-z]?)+")
_MARK = re.compile(r"\(?(\d{1,3}|[a-zA-Z])[.)]?")
_SYMBOLS = re.compile(r"[*†‡§¶#]+")
_IN_BRACKETS = re.compile(r"\([+−–-]?\d{1,3}\)")
_NEGATIVE = re.compile(r"[−–-]\d+")
_UNITS = frozenset({"mm", "cm", "dm", "km", "ft", "in", "yd", "mi", "nm", "µm", "μm", "kg", "mol", "sec", "min", "Hz"})
_CHARGED = re.compile(r"(?:[A-Z][a-z]?|[)\]\u2080-\u2089])$")
_LAST_WORD = re.compile(r"[^\W\d_]+$")
_FUNCTIONS = re.compile(r"(?:arc|ar)?(?:sin|cos|tan|cot|sec|csc)h?|log|ln|lg|exp")
# Letters that are not a word: they have no vowel, or are in a formula.
_VOWELLESS = re.compile(r"[b-df-hj-np-tv-xz]{2}|[xyz]{2,3}")
_GREEK_AND_LATIN = re.compile("[α-ωΑ-Ωϕϵ]{1,2}[a-zA-Z]{1,2}")
_IN_FORMULA = re.compile(r"(?:[=×·∙⋅<>≤≥≈∝√]\s?|\d)[^\W\d_]{2}$")
_NO_PRODUCTS = frozenset(
    {"am", "pm", "st", "nd", "rd", "th", "vs", "cf", "mr", "ms", "dr", "nr", "no", "pp", "ff", "to", "in", "at"}
    | {"is", "it", "of", "or", "on", "if", "so", "an", "as", "be", "by", "do", "he", "me", "my", "up", "us", "we"}
)
_WORDLESS_BRACKETS = re.compile(r"\((?:(?![^\W\d_]{3})[^()]){1,40}\)$")


def raised(text: str) -> str:
    """Marks a text of a line as raised, for `in_line`."""
    return f"{_UP}{text}{_END}" if text.strip() else text


def lowered(text: str) -> str:
    """Marks a text of a line as lowered, for `in_line`."""
    return f"{_DOWN}{text}{_END}" if text.strip() else text


def note_mark(number: int) -> str:
    """The mark of a note of the document, for `in_line`."""
    return f"{_NOTE}{number}{_END}"


def without_markers(text: str) -> str:
    """A text from a file, which must not contain the markers of this module."""
    return _STRAY.sub("", text) if _STRAY.search(text) else text


def leading_mark(text: str) -> str:
    """The raised number with which a note begins; "" if the text begins otherwise."""
    match = re.match(f"\\s*{_UP}\\s*\\(?(\\d{{1,3}})\\)?\\s*{_END}", text)
    return match[1] if match else ""


def in_line(text: str, notes: Collection[str] = ()) -> str:
    """The text with raised and lowered parts as the table above says. `notes` are the numbers of known notes."""
    if _STRAY.search(text):
        text = _FRACTION.sub(_fraction, _joined(text))
        text = _written(text, notes)
    return _COMPOSED.sub(_apart, text) if _COMPOSED.search(text) else text


def _joined(text: str) -> str:
    """The text with runs of one kind, one right after the other, as one."""
    while (joined := _SAME.sub(r"\g<kind>\g<text>", text)) != text:
        text = joined
    return text


def _fraction(match: re.Match[str]) -> str:
    before, above, below, after = match.groups()
    return f"{before}{' ' if before else ''}{above}/{below}{' ' if after else ''}{after}"


def _written(text: str, notes: Collection[str]) -> str:
    pieces: list[str] = []
    # The end of what is written, which is all that a decision needs.
    before, done = "", 0
    for match in _SPAN.finditer(text):
        plain = text[done : match.start()]
        before = f"{before}{_STRAY.sub('', plain)}"[-80:]
        after = text[match.end() : match.end() + 1]
        if match["kind"] == _NOTE:
            written = _note(match["text"], before, after)
        elif match["kind"] == _UP:
            written = _raised(match["text"], before, after, notes)
        else:
            written = _lowered(match["text"], before)
        if after.isdecimal() and written[-1:].isalnum():
            written += " "
        pieces += plain, written
        before, done = f"{before}{written}"[-80:], match.end()
    pieces.append(text[done:])
    return _STRAY.sub("", "".join(pieces))


def _raised(text: str, before: str, after: str, notes: Collection[str]) -> str:
    inner = text.strip()
    is_signed = _SIGNED.fullmatch(inner) is not None
    starts = not before or before[-1] == "\n"
    mark = _MARK.fullmatch(inner)
    if before[-1:] in {"⁻", "⁺"} and inner.isdecimal():
        return inner.translate(_TO_RAISED)
    if before[-1:] in _RAISED and mark is not None:
        return _note(mark[1], before, after)
    if before[-1:].isdecimal():
        if mark and mark[1].isdigit() and (not inner.isdigit() or (inner in notes and not _is_power(before, inner))):
            return _note(mark[1], before, after)
        if _SEVERAL.fullmatch(inner):
            return _note(inner, before, after)
        if is_signed:
            return inner.translate(_TO_RAISED)
        # French ordinals are 1er and 2e.
        if len(inner) == 1 and inner.isalpha() and inner not in "eºª":
            return f"^{inner}"
        return f"^({inner})" if inner[:1].isdigit() and len(inner) > 1 else text
    is_power = is_signed or _IN_BRACKETS.fullmatch(inner) is not None
    if is_power and not starts and _takes_power(before, inner):
        return inner.translate(_TO_RAISED)
    if is_signed and inner.isdigit() and after.isalpha() and not starts and before[-1].isspace():
        return f"^{inner}"
    if mark is not None and (mark[1].isdigit() or not _is_abbreviation(before, inner)):
        return _note(mark[1], before, after)
    if _SEVERAL.fullmatch(inner):
        return _note(inner, before, after)
    if _SYMBOLS.fullmatch(inner):
        return text
    return f"^{inner}" if inner[:1].isdigit() and before[-1:].isalnum() else text


def _lowered(text: str, before: str) -> str:
    inner = text.strip()
    if before[-1:].isdecimal():
        return f"_{inner}"
    if _SIGNED.fullmatch(inner) and before[-1:] and not before[-1].isspace():
        return inner.translate(_TO_LOWERED)
    # Below a raised number, as in a formula.
    follows = before[-1:].isalpha() or before[-1:] in _RAISED
    return f"_{inner}" if follows and inner.isalnum() else text


def _note(mark: str, before: str, after: str) -> str:
    """A mark in brackets, which neither joins brackets beside it, as a Markdown link would, nor the next word."""
    starts = not before or before[-1] == "\n"
    space_before = " " if before[-1:] in {"]", "["} else ""
    space_after = " " if after in {"(", "[", _UP, _NOTE} or after.isalnum() or (starts and not after.isspace()) else ""
    return f"{space_before}[{mark}]{space_after}"


def _is_power(before: str, exponent: str) -> bool:
    """Whether a number that could be a note's is rather the exponent of ten."""
    return re.search(r"(?<![\d.,])10$", before) is not None and int(exponent) > 2


def _takes_power(before: str, exponent: str) -> bool:
    is_plain = exponent.isdecimal()
    word = _LAST_WORD.search(before)
    if exponent[0] == "(":
        return word is not None and len(word[0]) == 1
    if _WORDLESS_BRACKETS.search(before):
        return True
    if not is_plain and _CHARGED.search(before):
        return True
    if word is None:
        return before[-1] in "°%" and not is_plain
    # A note has no negative number.
    if len(word[0]) == 1 or _NEGATIVE.fullmatch(exponent) or _FUNCTIONS.fullmatch(word[0]):
        return True
    if word[0] in _UNITS:
        return not is_plain or exponent in {"2", "3"}
    return len(exponent) == 1 and _is_product(word[0], before)


def _is_product(word: str, before: str) -> bool:
    """Whether letters are symbols multiplied with each other, as in mc or 2πr, rather than a word."""
    return word.casefold() not in _NO_PRODUCTS and (
        _VOWELLESS.fullmatch(word) is not None
        or _GREEK_AND_LATIN.fullmatch(word) is not None
        or _IN_FORMULA.search(before) is not None
    )


def _is_abbreviation(before: str, letter: str) -> bool:
    """Whether a raised letter ends a word such as the French M with a raised r."""
    word = _LAST_WORD.search(before)
    return word is not None and len(word[0]) <= 2 and letter.isalpha()


def _apart(match: re.Match[str]) -> str:
    character, text = match[0], match.string
    before, after = text[max(0, match.start() - 1) : match.start()], text[match.end() : match.end() + 1]
    compatible = unicodedata.normalize("NFKC", character).replace("⁄", "/")
    is_fraction = "/" in compatible
    written = compatible if is_fraction and before.isdigit() else character
    space_before = " " if before.isdigit() and (compatible[:1].isdigit() or compatible[:1] == "(") else ""
    space_after = " " if after.isdigit() and compatible[-1:].isdigit() else ""
    return f"{space_before}{written}{space_after}"
