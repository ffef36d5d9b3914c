"""Numbers as the labels of list entries: letters, Roman numerals and others."""

from __future__ import annotations

# Beyond these, a label is a plain number: a hostile file must not make it long.
_MAX_LETTERS = 26 * 20
_MAX_ROMAN = 3999
_ROMAN = (
    *((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl")),
    *((10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i")),
)
_CHINESE = frozenset(
    {"chineseCounting", "chineseCountingThousand", "japaneseCounting", "taiwaneseCounting", "taiwaneseCountingThousand"}
)
_CHINESE_DIGITS = "〇一二三四五六七八九"
_CYRILLIC = "абвгдежзиклмнопрстуфхцчшщэюя"


def formatted(count: int, number_format: str) -> str:
    """The number in one of the formats of WordprocessingML; in an unknown one as decimal digits."""
    if number_format == "none":
        return ""
    if number_format.endswith("Letter"):
        letters = _letters(count)
        return letters.upper() if number_format == "upperLetter" else letters
    if number_format.endswith("Roman"):
        roman = _roman(count)
        return roman.upper() if number_format == "upperRoman" else roman
    if number_format.startswith("russian") and 0 < count <= len(_CYRILLIC):
        letter = _CYRILLIC[count - 1]
        return letter.upper() if number_format == "russianUpper" else letter
    if number_format == "decimalZero":
        return f"{count:02d}"
    if number_format == "ordinal":
        return f"{count}{_ordinal_ending(count)}"
    if number_format in _CHINESE and 0 < count < 100:
        return _chinese(count)
    return str(count)


def _letters(count: int) -> str:
    """a to z, then aa to zz: the letter is repeated, as word processors do."""
    if not 0 < count <= _MAX_LETTERS:
        return str(count)
    repeats, letter = divmod(count - 1, 26)
    return chr(ord("a") + letter) * (repeats + 1)


def _roman(count: int) -> str:
    if not 0 < count <= _MAX_ROMAN:
        return str(count)
    numeral = ""
    for amount, letters in _ROMAN:
        times, count = divmod(count, amount)
        numeral += letters * times
    return numeral


def _ordinal_ending(count: int) -> str:
    if count % 100 in {11, 12, 13}:
        return "th"
    return {1: "st", 2: "nd", 3: "rd"}.get(count % 10, "th")


def _chinese(count: int) -> str:
    tens, ones = divmod(count, 10)
    leading = "" if tens == 0 else "十" if tens == 1 else f"{_CHINESE_DIGITS[tens]}十"
    return leading + (_CHINESE_DIGITS[ones] if ones else "")
