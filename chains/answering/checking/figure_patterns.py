"""Regular expressions for the numbers, amounts, times, dates and codes of a sentence."""

from __future__ import annotations

import re
from collections.abc import Iterable

from chains.answering.checking.stems import words_of
from chains.answering.checking.units import (
    MEASURES_CHINESE,
    NUMERALS_CHINESE,
    ORDINALS,
    SMALL,
    SYMBOLS,
    TENS,
    UNITS,
    UNITS_CHINESE,
)
from retrieval.splitting.numbers import UNITS as UNITS_WRITTEN_BEHIND

MONTHS = words_of("january february march april may june july august september october november december")
MONTH_NUMBER = {name: number for number, name in enumerate(MONTHS, 1)}
MONTH_NUMBER |= {name[:3]: number for name, number in MONTH_NUMBER.items()} | {"sept": 9}
MONTH = r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|"
MONTH += r"Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)"
WEEKDAYS = words_of("monday tuesday wednesday thursday friday saturday sunday")
WEEKDAY = r"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
WEEKDAY_CHINESE = "一二三四五六日"
# A number begins where its digits begin: without this, a search starts again at each of many digits.
NUM = rf"(?<!\d)\d+|(?<![{NUMERALS_CHINESE}])[{NUMERALS_CHINESE}]+"


def _alternatives(names: Iterable[str]) -> str:
    return "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))


UNIT = (
    rf"(?:(?:full|whole|more|further|extra|additional|consecutive|calendar|other)\s+)?"
    rf"(?P<unit>{_alternatives(n for n in UNITS if n[0].isalpha())}|%|°C|°F|°)"
)
UNIT_CHINESE = rf"(?P<unit>{_alternatives(UNITS_CHINESE)})"
WORD_NUMBER = (
    rf"(?:(?:a|{_alternatives(SMALL)}|{_alternatives(TENS)})\s+(?:hundred|thousand|million)"
    rf"(?:\s+(?:and\s+)?(?:(?:{_alternatives(TENS)})(?:[- ](?:{_alternatives(SMALL)}))?|{_alternatives(SMALL)}))?"
    rf"|(?:{_alternatives(TENS)})(?:-(?:{_alternatives(SMALL)}))?|{_alternatives(SMALL)})"
)
SYMBOL = _alternatives(SYMBOLS)
ORDINAL = _alternatives(ORDINALS)

# In this order; text that one pattern has matched is not matched again.
CODES = re.compile(
    r"(?<![A-Za-z0-9_£€$.])(?:\+?\d{2,5}(?:[ -]\d{2,5}){2,}|0\d{3,4} \d{5,7}|0\d{6,}|"
    rf"(?!(?:{SYMBOL})\d)(?!\d+(?:st|nd|rd|th|am|pm|{UNITS_WRITTEN_BEHIND})\b)"
    r"(?:[A-Za-z]{1,12}[-.]?\d[A-Za-z0-9_.-]*[A-Za-z0-9_]|[A-Za-z]{1,6}-?\d|\d+[A-Za-z][A-Za-z0-9_-]*))(?![A-Za-z0-9_])"
)
ISO = re.compile(r"\b(?P<y>\d{4})[-/](?P<m>\d{1,2})[-/](?P<d>\d{1,2})\b")
DAY_MONTH = re.compile(rf"\b(?P<d>\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?(?P<month>{MONTH})\b(?:,?\s+(?P<y>\d{{4}}))?")
MONTH_DAY = re.compile(
    rf"\b(?P<month>{MONTH})\s+(?:(?P<d>\d{{1,2}})(?:st|nd|rd|th)?\b(?!:)(?:,?\s+(?P<y>\d{{4}}))?|(?P<y2>\d{{4}}))\b"
)
MONTH_ALONE = re.compile(
    r"\b(?P<month>January|February|April|June|July|August|September|October|November|December|"
    r"(?:(?<=in )|(?<=of )|(?<=and )|(?<=since )|(?<=every )|(?<=until )|(?<=from )|(?<=to ))(?:March|May))\b"
)
DATE_CHINESE = re.compile(rf"(?:(?P<y>\d{{4}})年)?(?P<m>{NUM})月(?:(?P<d>{NUM})[日号])?")
WEEKDAYS_RANGE = re.compile(rf"\b(?P<one>{WEEKDAY})s?\s*(?:to|through|until|–|-)\s*(?P<two>{WEEKDAY})s?\b", re.I)
WEEKDAY_ALONE = re.compile(rf"\b(?P<one>{WEEKDAY})s?\b", re.I)
WEEKDAYS_RANGE_CHINESE = re.compile(
    r"(?:周|星期|礼拜)(?P<one>[一二三四五六日天])(?:至|到|-|–|~)(?:周|星期|礼拜)?(?P<two>[一二三四五六日天])"
)
WEEKDAY_CHINESE_ALONE = re.compile(r"(?:周|星期|礼拜)(?P<one>[一二三四五六日天末])")
CLOCK = re.compile(
    r"\b(?:(?P<h>\d{1,2})(?:[:.](?P<m>\d{2}))?\s*(?P<half>[ap]\.?m\b\.?)|(?P<h2>[01]?\d|2[0-4]):(?P<m2>[0-5]\d)|"
    r"(?P<h3>\d{1,2})\s+o'clock|(?P<name>noon|midday|midnight))(?![A-Za-z0-9])",
    re.I,
)
CLOCK_CHINESE = re.compile(
    rf"(?P<half>凌晨|早上|早晨|上午|中午|下午|傍晚|晚上|晚)?(?P<h>{NUM})(?:点钟?|时|:)"
    rf"(?P<m>\d{{2}}分?|\d{{1,2}}分|半|整|[{NUMERALS_CHINESE}]+分)?"
)
PERCENT_CHINESE = re.compile(rf"百分之(?P<n>\d+(?:\.\d+)?|[{NUMERALS_CHINESE}点]+)")
MONEY = re.compile(
    rf"(?P<symbol>{SYMBOL})\s?(?P<n>\d+(?:[.,]\d+)*)\s?(?P<scale>(?:thousand|million|billion|bn|k|m)\b)?"
)
NUMBER_CHINESE = re.compile(
    rf"(?P<ordinal>第)?(?P<n>(?<!\d)(?<!\d[.,])\d+(?:[.,]\d+)*|(?<![{NUMERALS_CHINESE}])[{NUMERALS_CHINESE}]+)"
    r"\s?(?P<scale>[万亿千百])?多?"
    rf"(?:{UNIT_CHINESE}(?P<half>半)?|(?P<measure>[{''.join(MEASURES_CHINESE)}]))"
)
HALF = re.compile(
    r"\b(?:half|a quarter|three[- ]quarters)\b(?!-| as\b)(?:\s+(?:of\s+)?an?\s+(?P<unit>hour|year|day|minute|month))?",
    re.I,
)
FREQUENCY = re.compile(
    r"\b(?P<n>once|twice)\b(?=\s+(?:(?:an?|per|each|every|in|within) (?:\w+ )?(?:days?|weeks?|months?|years?|hours?)|"
    r"only|more|daily|weekly)\b)",
    re.I,
)
NUMBER = re.compile(
    r"(?<![\w.])(?:(?P<n>\d+(?:[.,]\d+)*)(?P<ordinal>st|nd|rd|th)?(?![\d])"
    r"(?:\s?(?P<scale>(?:thousand|million|billion|bn|k)\b))?"
    rf"|(?P<word>{WORD_NUMBER})\b(?!-(?:off|way|to|on|and)\b))(?:[\s-]*{UNIT}(?![A-Za-z]))?",
    re.I,
)
DIGITS = re.compile(r"(?<![A-Za-z0-9_.])(?P<n>\d+(?:[.,]\d+)*)")
ORDINAL_WORDS = re.compile(rf"\b(?P<word>{ORDINAL})\b(?!-)", re.I)
RATE = re.compile(
    r"\b(?:(?:an?|per|each|every)\s+(?:(?:single|calendar)\s+)?(?P<unit>working day|weekday|minute|hour|day|night|week|"
    r"month|year|fortnight)|(?P<name>daily|hourly|weekly|monthly|yearly|annually|annual))\b|"
    r"每(?:个)?(?P<chinese>工作日|小时|分钟|天|日|周|星期|月|年)",
    re.I,
)

AT_MOST = re.compile(
    r"(?:\bup to|\bat (?:the )?most|\b(?:no|not|never)(?: be)? (?:more|later|longer|larger|older|higher|bigger|"
    r"heavier|over)(?: than)?|\bmaximum(?: \w+)?(?: of| is)?|\bwithin|\bunder|\bbelow|\bless than|\bfewer than|"
    r"\b(?:smaller|shorter|lighter|lower) than|"
    r"\buntil|\btill|\bbefore|\bnot exceed(?:ing|s)?|\byounger than|"
    r"(?<!不)(?<!不得)(?<!不能)(?:低于|少于)|不超过|不得超过|不能超过|最多|至多|最高|不多于|不晚于|不高于|不大于|不满|未满|(?!))"
    r"(?:\s+(?:the|a|an|age of|about|next|first|last))*\s*[£€$]?$",
    re.I,
)
AT_LEAST = re.compile(
    r"(?:\bat (?:the )?least|\b(?:no|not|never) (?:less|fewer|earlier|sooner|younger)(?: than)?|"
    r"\bminimum(?: \w+)?(?: of| is)?|\bmore than|\bover|\babove|\bafter|\bsince|\bexceeds?|"
    r"\b(?:longer|larger|bigger|greater|heavier|higher|taller) than|"
    r"\bolder than|\baged|\bfrom|不少于|不低于|不得低于|不能低于|不得少于|不早于|至少|"
    r"最少|起码|超过|多于|高于|大于)(?:\s+(?:the|a|an|age of|about|next|first|last))*\s*[£€$]?$",
    re.I,
)
BY = re.compile(r"\bby\s+(?:the\s+)?$", re.I)
POST_AT_LEAST = re.compile(
    r"\s*(?:or (?:more|over|above|older|longer|later|upwards)|at least|and over|及?以上|以后|之后)", re.I
)
POST_AT_MOST = re.compile(
    r"\s*(?:or (?:less|under|fewer|younger|below|earlier)|at most|及?以下|以内|之内|内|以前|之前|前)", re.I
)
POST_ORDER = re.compile(r"\s*(?:\w+ )?(?P<order>before|after|beforehand|afterwards|in advance|earlier|later)\b", re.I)
THEREAFTER = re.compile(r",? (?:after|from) (?:which|then|that)\b", re.I)
LABEL = re.compile(r"\b(?:desk|room|floor|gate|step|page|line|form|level|type|number|no\.?|office|hall|key)\s$", re.I)
NEXT_WORD = re.compile(r"[\s-]*(?P<word>[a-zA-Z]{3,})")
RANGE_LINK = re.compile(r"\s*(?:to|-|–|and|or|until|至|到|~|—)\s*(?:[£€$]|EUR|GBP|USD)?\s*", re.I)
NOT_COUNTED = frozenset(
    words_of(
        "and or but to for of in on at by with from if is are was were has have can may per each before after the that "
        "when while until which who unless because so then than not only"
    )
)
