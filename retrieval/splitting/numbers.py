"""Numbers and their units in one notation, for comparison only: "5km" is "5 km", "1,000" is "1000", "9 a.m." is "9am".

A single point before three digits ("1.000") is a decimal point, unless the caller says that the text has decimal
commas: 1.000 mm must not become a metre. With a second group or a decimal comma ("1.000.000", "1.000,50") it groups
thousands in any text. A plain space groups thousands only if a group is 000, because "12 345" may be two numbers.
"""

from __future__ import annotations

import re
import unicodedata

from retrieval.splitting.words import folded

# Units that are often written right behind the number. "5G" and "3D" are names.
UNITS = (
    "km|m|cm|mm|µm|μm|nm|mi|ft|yd|kg|g|mg|µg|μg|t|lbs?|oz|l|L|ml|mL|cl|dl|h|hrs?|mins?|s|secs?|ms|days?|hours?|minutes?|"
    "seconds?|weeks?|months?|years?|nights?|[kKMGT]B|[KMGT]iB|[kMG]bit|[kMG]bps|k?W|MW|GW|[kM]?Wh|k?V|mV|mAh?|Hz|[kMG]Hz|"
    "px|pt|dpi|rpm|mph|kmh|kph|bar|h?Pa|kPa|psi|kJ|MJ|kcal|cal|dB|EUR|USD|GBP|CHF|CNY|JPY|INR|k|bn"
)
# Of a number before a fraction; a float holds as many exactly.
_MAX_WHOLE_DIGITS = 12
# Not the last digits of a longer number.
_FIRST = r"(?<![\w.,'’])"
_SPACED = re.compile(rf"{_FIRST}\d{{1,3}}(?:[\u00a0\u2000-\u200a\u202f]\d{{3}})+(?!\d)")
_PLAIN_SPACED = re.compile(rf"{_FIRST}(?<!\d )[1-9]\d{{0,2}}(?: \d{{3}})+(?! ?\d)")
_ARABIC_COMMA = re.compile("(?<=[0-9])[\u066c\u060c](?=[0-9]{3}(?![0-9]))")
_ARABIC_POINT = re.compile("(?<=[0-9])\u066b(?=[0-9])")
_APOSTROPHES = re.compile(rf"{_FIRST}\d{{1,3}}(?:['’]\d{{3}})+(?!\d)")
_FRACTION = re.compile("(?:(?<![0-9.,/])([0-9.,/]++)( ?))?([¼½¾⅐-⅞])")
_COMMAS = re.compile(r"(?<!\d)(?<!\d[.,])(?:\d{1,3}(?:,\d{3})+|\d{1,2}(?:,\d{2})+,\d{3})(?!,?\d)")
_POINTS = re.compile(r"(?<!\d)(?<!\d[.,])\d{1,3}(?:(?:\.\d{3})+,\d{1,2}|(?:\.\d{3}){2,})(?![.,]?\d)")
_ONE_POINT = re.compile(r"(?<!\d)(?<!\d[.,])\d{1,3}\.\d{3}(?![.,]?\d)")
_DECIMAL_COMMA = re.compile(r"(?<!\d)(?<!\d[.,])(\d++),(\d{1,2})(?![.,]?\d)")
_HALF_DAY = re.compile(r"\b(\d{1,2})(?:[:.]00)?\s?([ap])(?:m|\.\s?m\b\.?)(?!\w)", re.IGNORECASE)
_PERCENT = re.compile(r"(?<=\d)\s?(?:[%٪]|(?:percent|per\s?cent|pct)\b)", re.IGNORECASE)
# Not the 1990s. Letters other than Latin ones, Greek and later in Unicode, are taken for a unit.
_UNIT = re.compile(rf"\b(\d++)(?!(?<=\d{{4}})s\b)(?=(?:{UNITS})\b|(?=[\u0370-\u1fff\u2c00-\ud7ff])[^\W\d_])")
_DIGIT = re.compile(r"\d|[¼½¾⅐-⅞]")
# Function words of languages with decimal commas, and of English.
_COMMA_WORDS = re.compile(
    r"\b(?:der|das|und|ist|nicht|mit|für|von|bis|eine[rn]?|het|een|van|voor|niet|los|las|una|por|para|gli|della|che|per|"
    r"sono|não|dos|og|er|ikke|til|bir|için|yang|dan|untuk)\b",
    re.IGNORECASE,
)
_POINT_WORDS = re.compile(r"\b(?:the|and|of|to|for|with|are|is|at|from)\b", re.IGNORECASE)


def joined(text: str) -> str:
    """The text as `folded`, with thousands in one piece where spaces, apostrophes or Arabic marks group them.

    A fraction such as ½ is a decimal number.
    """
    if not _DIGIT.search(text):
        return folded(text)
    text = folded(_SPACED.sub(_digits, text))
    text = _ARABIC_POINT.sub(".", _ARABIC_COMMA.sub(",", text))
    text = _FRACTION.sub(_decimal, _APOSTROPHES.sub(_digits, text))
    return _PLAIN_SPACED.sub(lambda match: _digits(match) if " 000" in match[0] else match[0], text)


def comparable(text: str, *, decimal_comma: bool = False) -> str:
    """The text in the form in which its words and numbers are compared. Nobody should see it.

    `decimal_comma` says that 1.000 is a thousand and 2,5 is two and a half.
    """
    text = joined(text)
    if not _DIGIT.search(text):
        return text
    text = _POINTS.sub(_without_points, text)
    if decimal_comma:
        text = _DECIMAL_COMMA.sub(r"\1.\2", _ONE_POINT.sub(_without_points, text))
    text = _COMMAS.sub(_digits, text)
    text = _HALF_DAY.sub(lambda match: f"{match[1]}{match[2].lower()}m", text)
    return _UNIT.sub(r"\1 ", _PERCENT.sub(" percent ", text))


def writes_decimal_comma(text: str) -> bool:
    """Whether a text is in a language that writes 1.000 for a thousand, such as German; by its frequent words."""
    return len(_COMMA_WORDS.findall(text)) > len(_POINT_WORDS.findall(text))


def _digits(match: re.Match[str]) -> str:
    return re.sub(r"\D", "", match[0])


def _without_points(match: re.Match[str]) -> str:
    return match[0].replace(".", "").replace(",", ".")


def _decimal(match: re.Match[str]) -> str:
    whole, space, fraction = match.groups("")
    # "1.5½" is not a number, and a very long one cannot be added to.
    is_number = whole.isdecimal() and len(whole) <= _MAX_WHOLE_DIGITS
    value = unicodedata.numeric(fraction) + (int(whole) if is_number else 0)
    decimal = f"{value:.3f}".rstrip("0")
    return decimal if not whole or is_number else f"{whole}{space or ' '}{decimal}"
