"""Units of measure and number words, in English and Chinese, as the support check compares them.

A unit is a dimension and a factor, so that 2 weeks are 14 days and 90 minutes are 1.5 hours. Months and years have a
dimension of their own, and so have working days.
"""

from __future__ import annotations

from typing import NamedTuple

from chains.answering.checking.stems import words_of


class Unit(NamedTuple):
    """A dimension, such as "time", and the size of the unit in it."""

    dimension: str
    factor: float


_TIME, _MONTH, _DAYS = "time", "month", 86400.0
_ENGLISH = {
    Unit(_TIME, 1): "seconds second secs sec",
    Unit(_TIME, 60): "minutes minute mins min",
    Unit(_TIME, 3600): "hours hour hrs hr h",
    Unit(_TIME, _DAYS): "days day",
    Unit(_TIME, 7 * _DAYS): "weeks week",
    Unit(_TIME, 14 * _DAYS): "fortnights fortnight",
    Unit(_MONTH, 1): "months month",
    Unit(_MONTH, 12): "years year",
    Unit("working day", 1): "working-days working-day business-days business-day weekdays weekday",
    Unit("night", 1): "nights night",
    Unit("length", 1): "metres metre meters meter m",
    Unit("length", 1000): "kilometres kilometre kilometers kilometer km",
    Unit("length", 0.01): "centimetres centimetre centimeters centimeter cm",
    Unit("length", 0.001): "millimetres millimetre millimeters millimeter mm",
    Unit("length", 1609.344): "miles mile",
    Unit("mass", 1): "grams gram g",
    Unit("mass", 1000): "kilograms kilogram kilos kilo kg",
    Unit("mass", 0.001): "milligrams milligram mg",
    Unit("volume", 1): "litres litre liters liter l",
    Unit("volume", 0.001): "millilitres millilitre milliliters milliliter ml",
    Unit("bytes", 1e3): "KB",
    Unit("bytes", 1e6): "MB megabytes megabyte",
    Unit("bytes", 1e9): "GB gigabytes gigabyte",
    Unit("bytes", 1e12): "TB terabytes terabyte",
    Unit("power", 1): "watts watt",
    Unit("power", 1e3): "kW kilowatts kilowatt",
    Unit("energy", 1): "Wh",
    Unit("energy", 1e3): "kWh",
    Unit("frequency", 1): "Hz hertz",
    Unit("frequency", 1e3): "kHz",
    Unit("frequency", 1e6): "MHz",
    Unit("frequency", 1e9): "GHz",
    Unit("speed", 1): "km/h kmh kph",
    Unit("speed", 1.609344): "mph",
    Unit("degree", 1): "degrees degree °C ° degrees-celsius degree-celsius",
    Unit("fahrenheit", 1): "°F degrees-fahrenheit degree-fahrenheit",
    Unit("percent", 1): "% percent per-cent",
    Unit("GBP", 1): "pounds pound GBP",
    Unit("GBP", 0.01): "pence penny",
    Unit("EUR", 1): "euros euro EUR",
    Unit("USD", 1): "dollars dollar USD",
    Unit("cent", 1): "cents cent",
    Unit("times", 1): "times",
}
UNITS = {name.replace("-", " "): unit for unit, names in _ENGLISH.items() for name in names.split()}
SYMBOLS = {
    "£": Unit("GBP", 1), "€": Unit("EUR", 1), "$": Unit("USD", 1), "¥": Unit("CNY", 1), "GBP": Unit("GBP", 1),
    "EUR": Unit("EUR", 1), "USD": Unit("USD", 1), "CHF": Unit("CHF", 1), "RMB": Unit("CNY", 1), "CNY": Unit("CNY", 1),
}  # fmt: skip
# Dimensions of which one can stand in the place of another.
FAMILIES = {
    **dict.fromkeys(("time", "month", "working day", "night"), "duration"),
    **dict.fromkeys(("GBP", "EUR", "USD", "CNY", "cent"), "money"),
    **dict.fromkeys(("degree", "fahrenheit"), "temperature"),
}
RATES = {
    "daily": Unit(_TIME, _DAYS), "hourly": Unit(_TIME, 3600), "weekly": Unit(_TIME, 7 * _DAYS),
    "monthly": Unit(_MONTH, 1), "yearly": Unit(_MONTH, 12), "annually": Unit(_MONTH, 12), "annual": Unit(_MONTH, 12),
}  # fmt: skip
_CHINESE = {
    Unit(_TIME, 1): "秒钟 秒",
    Unit(_TIME, 60): "分钟",
    Unit(_TIME, 3600): "个小时 小时 个钟头",
    Unit(_TIME, _DAYS): "个自然日 自然日 天 日",
    Unit(_TIME, 7 * _DAYS): "个星期 星期 周",
    Unit(_MONTH, 1): "个月",
    Unit(_MONTH, 12): "周年 年",
    Unit("working day", 1): "个工作日 工作日 个营业日",
    Unit("length", 1): "米",
    Unit("length", 1000): "公里 千米",
    Unit("length", 0.01): "厘米",
    Unit("length", 0.001): "毫米",
    Unit("mass", 1): "克",
    Unit("mass", 1000): "公斤 千克",
    Unit("mass", 500): "斤",
    Unit("volume", 1): "升",
    Unit("volume", 0.001): "毫升",
    Unit("degree", 1): "摄氏度 度",
    Unit("percent", 1): "%",
    Unit("CNY", 1): "元人民币 元 块钱 块",
    Unit("CNY", 0.1): "角",
    Unit("EUR", 1): "欧元",
    Unit("USD", 1): "美元",
    Unit("GBP", 1): "英镑",
    Unit("times", 1): "次",
}
UNITS_CHINESE = {name: unit for unit, names in _CHINESE.items() for name in names.split()}
# Measure words after which a Chinese numeral is a number, without a unit that could differ.
MEASURES_CHINESE = words_of(
    "岁 楼 层 号 名 位 人 本 张 页 份 件 种 项 场 节 折 倍 卷 册 间 台 辆 条 家 门 步 遍 级 个 期 届 座 所 支"
)

_SMALL = words_of(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_TENS = words_of("twenty thirty forty fifty sixty seventy eighty ninety")
SMALL = {word: number for number, word in enumerate(_SMALL)}
TENS = {word: 10 * number for number, word in enumerate(_TENS, 2)}
ORDINALS = words_of(
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth"
)
MULTIPLIERS = {"hundred": 100.0, "thousand": 1e3, "million": 1e6, "billion": 1e9, "k": 1e3, "m": 1e6, "bn": 1e9}
_DIGITS_CHINESE = {character: number for number, character in enumerate("〇一二三四五六七八九")}
_DIGITS_CHINESE |= {"零": 0, "两": 2, "俩": 2}
_PLACES_CHINESE = {"十": 10, "百": 100, "千": 1000}
NUMERALS_CHINESE = "".join((*_DIGITS_CHINESE, *_PLACES_CHINESE, "万亿半"))


def english_number(text: str) -> float | None:
    """The value of a number in words, such as "two hundred and fifty"; None if it is not a number."""
    total, current, found = 0.0, 0.0, False
    for word in text.lower().replace("-", " ").split():
        if word in {"a", "an", "and"}:
            continue
        if word in MULTIPLIERS:
            scaled = (current or 1) * MULTIPLIERS[word]
            total, current = (total, scaled) if word == "hundred" else (total + scaled, 0.0)
        elif word in SMALL or word in TENS:
            current += SMALL.get(word, TENS.get(word, 0))
        else:
            return None
        found = True
    return total + current if found else None


def chinese_number(text: str) -> float | None:
    """The value of a Chinese numeral, such as 一百二十 or 半; None if it is not one."""
    if text == "半":
        return 0.5
    if len(text) > 1 and all(character in _DIGITS_CHINESE for character in text):
        return float("".join(str(_DIGITS_CHINESE[character]) for character in text))
    total, section, digit = 0.0, 0.0, 0.0
    for character in text:
        if character in _DIGITS_CHINESE:
            digit = _DIGITS_CHINESE[character]
        elif character in _PLACES_CHINESE:
            section += (digit or 1) * _PLACES_CHINESE[character]
            digit = 0.0
        elif character in "万亿":
            total = (total + section + digit) * (1e4 if character == "万" else 1e8)
            section = digit = 0.0
        elif character == "半":
            digit += 0.5
        else:
            return None
    return total + section + digit
