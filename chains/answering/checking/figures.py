"""Numbers, amounts, times, dates and codes of a sentence, in a form in which two notations of one value are equal.

"EUR 35" is "35 euros", "3pm" is "15:00", "two weeks" are "14 days", and 三个工作日 is "3 working days".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from chains.answering.checking import figure_patterns as patterns
from chains.answering.checking.units import (
    FAMILIES,
    NUMERALS_CHINESE,
    ORDINALS,
    RATES,
    SYMBOLS,
    UNITS,
    UNITS_CHINESE,
    Unit,
    chinese_number,
    english_number,
)

Kind = Literal["number", "rate", "ordinal", "clock", "date", "weekday", "code"]
Bound = Literal["at least", "at most"]


@dataclass(frozen=True, slots=True)
class Figure:
    """A value and where it stands in its text.

    Attributes:
        values: what the notation can mean, such as both values of "3:30"; in the base of the unit's dimension.
        digits: its values without the unit.
        dimension: of its unit, such as "time" or "EUR"; empty without a unit.
        bound: whether it is a limit ("at least", "up to").
        order: "before" or "after" if that follows, as in "two hours before".
        counted: whether a word other than a unit follows, as in "12 files".
        rate: whether it is the unit of a rate, as in "£200 a day"; it may also be a duration, as in "for a year".
    """

    kind: Kind
    values: frozenset[float | str]
    digits: frozenset[float | str]
    dimension: str
    raw: str
    start: int
    end: int
    bound: Bound | None = None
    order: Literal["before", "after"] | None = None
    counted: bool = False
    rate: bool = False

    def equals(self, other: Figure) -> bool:
        """Whether both name the same value; a number without a unit may be one with a unit."""
        if self.kind != other.kind:
            # "A day" may be a rate or a duration, "daily" is a rate.
            if not (self.rate and other.rate and self.dimension == other.dimension):
                return False
            return not self.values.isdisjoint(other.values)
        if self.dimension == other.dimension:
            return not self.values.isdisjoint(other.values)
        if (self.dimension or self.counted) and (other.dimension or other.counted):
            return False
        return not self.digits.isdisjoint(other.digits)

    def rivals(self, other: Figure) -> bool:
        """Whether one could stand in the place of the other: both are durations, amounts, times, or plain numbers."""
        if self.kind != other.kind or self.equals(other):
            return False
        return FAMILIES.get(self.dimension, self.dimension) == FAMILIES.get(other.dimension, other.dimension)

    @property
    def marks(self) -> frozenset[str]:
        """Stand for the figure among the words around another one."""
        kind = "rate" if self.rate else self.kind
        return frozenset(f"#{kind}:{self.dimension}:{value}" for value in self.values)


_PERCENT, _TIMES = UNITS["percent"], UNITS["times"]
_SCALES = {"": 1.0, "thousand": 1e3, "million": 1e6, "billion": 1e9, "bn": 1e9, "k": 1e3, "m": 1e6}


def find_figures(text: str) -> list[Figure]:
    """The figures of a text, in order. The text is in Unicode's NFKC form, so that digits are ASCII."""
    found: list[Figure] = []
    # 1 for each character that belongs to a match.
    taken = bytearray(len(text))
    for pattern, make in _READERS:
        for match in pattern.finditer(text):
            start, end = match.span()
            if taken.find(1, start, end) >= 0:
                continue
            figure = make(match)
            if figure is not None:
                found.append(figure)
                taken[start:end] = b"\1" * (end - start)
    found.sort(key=lambda figure: figure.start)
    return [_with_context(figure, text) for figure in _with_shared_units(found, text)]


def _figure(kind: Kind, match: re.Match[str], digits: set[float | str], unit: Unit | None = None) -> Figure:
    values = digits if unit is None else {round(v * unit.factor, 9) for v in digits if isinstance(v, float)}
    dimension = unit.dimension if unit else ""
    return Figure(kind, frozenset(values), frozenset(digits), dimension, match.group().strip(), *match.span())


def _code(match: re.Match[str]) -> Figure:
    return _figure("code", match, {re.sub(r"[\s.-]", "", match.group()).lower()})


def _date(match: re.Match[str]) -> Figure | None:
    parts = match.groupdict()
    month = parts.get("month")
    number = patterns.MONTH_NUMBER[month.lower()] if month else _any_number(parts["m"] or "")
    day = _any_number(parts.get("d") or "") or 0
    if not number or not 1 <= number <= 12 or day > 31:
        return None
    year = parts.get("y") or parts.get("y2") or ""
    return _figure("date", match, {f"{year}-{int(number)}-{int(day)}"})


def _weekdays(match: re.Match[str]) -> Figure:
    first, last = _weekday(match["one"]), _weekday(match["two"])
    days = [*range(first, last + 1)] if first <= last else [*range(first, 8), *range(1, last + 1)]
    return _figure("weekday", match, {float(day) for day in days})


def _weekday_alone(match: re.Match[str]) -> Figure:
    if match["one"] == "末":
        return _figure("weekday", match, {6, 7})
    return _figure("weekday", match, {_weekday(match["one"])})


def _weekday(name: str) -> int:
    if name.lower() in patterns.WEEKDAYS:
        return patterns.WEEKDAYS.index(name.lower()) + 1
    return patterns.WEEKDAY_CHINESE.index(name.replace("天", "日")) + 1


def _clock(match: re.Match[str]) -> Figure | None:
    if match["name"]:
        return _figure("clock", match, {0, 1440} if match["name"].lower() == "midnight" else {720})
    hour = float(match["h"] or match["h2"] or match["h3"])
    minutes = float(match["m"] or match["m2"] or 0)
    half = (match["half"] or "").lower()
    if half:
        hour = hour % 12 + (12 if half.startswith("p") else 0)
    if hour > 24:
        return None
    # Without am or pm, 3:30 may be either; 03:30, 11:30 and 15:30 may not.
    ambiguous = not half and 1 <= hour < 8 and not (match["h2"] or "").startswith("0")
    return _figure("clock", match, _times(60 * hour + minutes, ambiguous))


def _clock_chinese(match: re.Match[str]) -> Figure | None:
    hour = _any_number(match["h"])
    if hour is None or hour > 24 or match.group() in {"一点", "有点"} or match.group().endswith(":"):
        return None
    minutes = 30.0 if match["m"] == "半" else _any_number((match["m"] or "0").rstrip("分整") or "0") or 0.0
    half = match["half"] or ""
    if half in {"下午", "傍晚", "晚上", "晚"} and hour < 12:
        hour += 12
    ambiguous = not half and 1 <= hour <= 12
    return _figure("clock", match, _times(60 * hour + minutes, ambiguous))


def _times(minutes: float, ambiguous: bool) -> set[float | str]:
    return {minutes, (minutes + 720) % 1440} if ambiguous else {minutes}


def _percent_chinese(match: re.Match[str]) -> Figure | None:
    whole, _, part = match["n"].partition("点")
    value = _any_number(whole)
    if value is None:
        return None
    digits = "".join(str(int(chinese_number(character) or 0)) for character in part)
    return _figure("number", match, {value + (float(f"0.{digits}") if digits else 0.0)}, _PERCENT)


def _money(match: re.Match[str]) -> Figure:
    return _figure("number", match, _scaled(match["n"], match["scale"]), SYMBOLS[match["symbol"]])


def _number_chinese(match: re.Match[str]) -> Figure | None:
    value = chinese_number(match["n"]) if match["n"][0] in NUMERALS_CHINESE else None
    values: set[float | str] = {value} if value is not None else _readings(match["n"])
    scale = {"万": 1e4, "亿": 1e8, "千": 1e3, "百": 100.0}.get(match["scale"] or "", 1.0)
    if match["ordinal"]:
        return _figure("ordinal", match, values)
    if match["n"] == "一" and match["measure"]:
        return None
    extra = 0.5 if match["half"] else 0.0
    values = {v * scale + extra for v in values if isinstance(v, float)}
    return _figure("number", match, values, UNITS_CHINESE.get(match["unit"] or ""))


def _half(match: re.Match[str]) -> Figure:
    word = match.group().lower()
    share = 0.75 if word.startswith("three") else 0.5 if word.startswith("half") else 0.25
    if match["unit"]:
        return _figure("number", match, {share}, UNITS[match["unit"].lower()])
    return _figure("number", match, {100 * share}, _PERCENT)


def _frequency(match: re.Match[str]) -> Figure:
    return _figure("number", match, {1.0 if match["n"].lower() == "once" else 2.0}, _TIMES)


def _number(match: re.Match[str]) -> Figure | None:
    if match["ordinal"]:
        return _figure("ordinal", match, readings) if (readings := _readings(match["n"])) else None
    unit = UNITS.get(match["unit"]) or UNITS.get((match["unit"] or "").lower())
    if match["word"]:
        # "one" is mostly a pronoun.
        if unit is None and match["word"].lower() == "one":
            return None
        value = english_number(match["word"])
        values: set[float | str] = set() if value is None else {value}
    else:
        values = _scaled(match["n"], match["scale"])
    return _figure("number", match, values, unit) if values else None


def _number_alone(match: re.Match[str]) -> Figure:
    return _figure("number", match, _readings(match["n"]))


def _ordinal(match: re.Match[str]) -> Figure:
    return _figure("ordinal", match, {ORDINALS.index(match["word"].lower()) + 1.0})


def _rate(match: re.Match[str]) -> Figure:
    if match["chinese"]:
        unit = UNITS_CHINESE.get(match["chinese"]) or UNITS_CHINESE["个月"]
    else:
        unit = RATES[match["name"].lower()] if match["name"] else UNITS[match["unit"].lower()]
    article = match.group().lower().startswith(("a ", "an "))
    return replace(_figure("number" if article else "rate", match, {1.0}, unit), rate=True)


def _scaled(digits: str, scale: str | None) -> set[float | str]:
    factor = _SCALES[(scale or "").lower()]
    return {value * factor for value in _readings(digits) if isinstance(value, float)}


def _readings(digits: str) -> set[float | str]:
    """What a written number can mean: "1,200" is 1200, and "1.200" may also be."""
    english = digits.replace(",", "") if re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", digits) else digits
    values: set[float | str] = set()
    if english.replace(".", "", 1).isdigit():
        values.add(float(english))
    if re.fullmatch(r"\d{1,3}(?:\.\d{3})+(?:,\d+)?", digits):
        values.add(float(digits.replace(".", "").replace(",", ".")))
    elif re.fullmatch(r"\d+,\d{1,2}", digits):
        values.add(float(digits.replace(",", ".")))
    return values


def _any_number(text: str) -> float | None:
    return float(text) if text.isdigit() else chinese_number(text) if text else None


_READERS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Figure | None]], ...] = (
    (patterns.ISO, _date),
    (patterns.DAY_MONTH, _date),
    (patterns.MONTH_DAY, _date),
    (patterns.CODES, _code),
    (patterns.MONTH_ALONE, _date),
    (patterns.WEEKDAYS_RANGE, _weekdays),
    (patterns.WEEKDAY_ALONE, _weekday_alone),
    (patterns.WEEKDAYS_RANGE_CHINESE, _weekdays),
    (patterns.WEEKDAY_CHINESE_ALONE, _weekday_alone),
    (patterns.CLOCK, _clock),
    (patterns.HALF, _half),
    (patterns.RATE, _rate),
    (patterns.PERCENT_CHINESE, _percent_chinese),
    (patterns.DATE_CHINESE, _date),
    (patterns.CLOCK_CHINESE, _clock_chinese),
    (patterns.NUMBER_CHINESE, _number_chinese),
    (patterns.MONEY, _money),
    (patterns.FREQUENCY, _frequency),
    (patterns.NUMBER, _number),
    (patterns.ORDINAL_WORDS, _ordinal),
    (patterns.DIGITS, _number_alone),
)


def _with_shared_units(figures: list[Figure], text: str) -> Iterator[Figure]:
    """In "20 to 30 minutes", 20 has the unit of 30."""
    for number, figure in enumerate(figures):
        following = figures[number + 1] if number + 1 < len(figures) else None
        if (
            following is not None
            and figure.kind == following.kind == "number"
            and following.dimension
            and not figure.dimension
            and patterns.RANGE_LINK.fullmatch(text, figure.end, following.start)
        ):
            # The longest name: "10 km" ends with "m" too.
            names = [n for n in UNITS if following.raw.lower().endswith(n.lower())]
            unit = UNITS[max(names, key=len)] if names else None
            unit = unit or next((u for name, u in UNITS_CHINESE.items() if following.raw.endswith(name)), None)
            factor = unit.factor if unit and unit.dimension == following.dimension else 1.0
            values = frozenset(value * factor for value in figure.values if isinstance(value, float))
            figure = replace(figure, values=values, dimension=following.dimension)
        yield figure


def _with_context(figure: Figure, text: str) -> Figure:
    if figure.kind in {"code", "weekday", "ordinal"}:
        return figure
    before = text[max(0, figure.start - 32) : figure.start]
    bound: Bound | None = None
    if patterns.AT_MOST.search(before) or (figure.kind != "number" and patterns.BY.search(before)):
        bound = "at most"
    elif patterns.AT_LEAST.search(before):
        bound = "at least"
    if patterns.POST_AT_LEAST.match(text, figure.end):
        bound = "at least"
    elif patterns.POST_AT_MOST.match(text, figure.end):
        bound = "at most"
    if patterns.THEREAFTER.match(text, figure.end):
        bound = None
    order: Literal["before", "after"] | None = None
    if figure.kind == "number" and (match := patterns.POST_ORDER.match(text, figure.end)):
        order = "before" if match["order"].lower() in {"before", "beforehand", "in advance", "earlier"} else "after"
    word = patterns.NEXT_WORD.match(text, figure.end)
    counted = not figure.dimension and word is not None and word["word"].lower() not in patterns.NOT_COUNTED
    # Nor is "desk 4" an amount.
    label = patterns.LABEL.search(before)
    counted = counted or (not figure.dimension and label is not None)
    return replace(figure, bound=bound, order=order, counted=counted)
