"""Numbers of a spreadsheet as it shows them: dates, shares, amounts."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

# The numbers of the formats that every spreadsheet knows; 14 to 22 and 45 to 47 are dates and times.
BUILT_IN = {
    1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00", 9: "0%", 10: "0.00%", 14: "yyyy-mm-dd", 15: "yyyy-mm-dd",
    16: "yyyy-mm-dd", 17: "yyyy-mm-dd", 18: "hh:mm", 19: "hh:mm:ss", 20: "hh:mm", 21: "hh:mm:ss",
    22: "yyyy-mm-dd hh:mm", 37: "#,##0", 38: "#,##0", 39: "#,##0.00", 40: "#,##0.00", 45: "mm:ss", 46: "[h]:mm:ss",
    47: "mm:ss",
}  # fmt: skip
# Text in quotation marks, escaped and filling characters, colours and countries.
_LITERAL = re.compile(r'"([^"]*)"|\\(.)|[_*].|\[\$([^\]-]*)[^\]]*\]|\[(?!h|m|s)[^\]]*\]', re.IGNORECASE)
_DIGITS = re.compile(r"[#0?][#0?,]*(\.[#0?]+)?")
# The last day of the year 9999, and the days between the calendars of 1900 and of 1904.
_MAX_DAYS, _DAYS_TO_1904 = 2_958_465, 1462


def shown(value: float, code: str, *, since_1904: bool = False) -> str:
    """A number in a format. Dates are written as 2024-05-17, whatever their order in the format."""
    sections = code.split(";")
    section = sections[1] if value < 0 and len(sections) > 1 else sections[0]
    bare = _LITERAL.sub("", section)
    if re.search(r"[ymdhs]", bare, re.IGNORECASE) and "general" not in bare.lower():
        return _date(value, bare.lower(), since_1904)
    digits = _DIGITS.search(bare)
    if digits is None or "e+" in bare.lower() or "/" in bare:
        return _general(value)
    decimals = len(digits[1]) - 1 if digits[1] else 0
    grouped = "," if "," in digits[0].split(".")[0] else ""
    share = "%" in bare
    number = f"{abs(value) * (100 if share else 1):{grouped}.{decimals}f}"
    width = len(re.findall("0", digits[0].split(".")[0]))
    before, after = _around(section)
    sign = "-" if value < 0 and re.search(r"[1-9]", number) else ""
    return f"{sign}{before}{number if grouped else _padded(number, width)}{'%' if share else ''}{after}".strip()


def _padded(number: str, width: int) -> str:
    whole, point, rest = number.partition(".")
    return f"{whole.rjust(width, '0')}{point}{rest}"


def _around(section: str) -> tuple[str, str]:
    """The text before and after the digits, such as the sign of a currency."""
    marked = _LITERAL.sub(lambda found: "".join(f"\ue000{ord(one):x};" for one in _text(found)), section)
    digits = _DIGITS.search(re.sub(r"\ue000[0-9a-f]+;", lambda found: "\ue001" * len(found.group()), marked))
    if digits is None:
        return "", ""
    return _unmarked(marked[: digits.start()]), _unmarked(marked[digits.end() :])


def _text(found: re.Match[str]) -> str:
    return found[1] or found[2] or found[3] or ""


def _unmarked(text: str) -> str:
    return "".join(
        chr(int(code, 16)) if code else other for code, other in re.findall(r"\ue000([0-9a-f]+);|([€$£¥ ])", text)
    )


def _general(value: float) -> str:
    # Fifteen digits are what a spreadsheet calculates with: 0.1 + 0.2 is 0.3.
    return f"{value:.15g}"


def _date(value: float, code: str, since_1904: bool) -> str:
    # Written so that NaN is beyond them as well.
    if not abs(value) <= _MAX_DAYS - (_DAYS_TO_1904 if since_1904 else 0):
        return _general(value)
    if "[h" in code or "[m" in code or "[s" in code:
        minutes, seconds = divmod(round(value * 86_400), 60)
        return f"{minutes // 60}:{minutes % 60:02}" + (f":{seconds:02}" if "s" in code else "")
    if value < 0:
        return _general(value)
    # The calendar of 1900 has a 29 February that never was.
    first = datetime(1904, 1, 1) if since_1904 else datetime(1899, 12, 31 if value < 60 else 30)
    moment = first + timedelta(seconds=round(value * 86_400))
    day = "%Y-%m-%d" if re.search("[yd]", code) else ""
    time = ("%H:%M:%S" if "s" in code else "%H:%M") if re.search("[hs]", code) else ""
    return moment.strftime(f"{day} {time}".strip() or "%Y-%m")
