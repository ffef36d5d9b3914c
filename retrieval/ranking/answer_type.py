"""The kind of answer that a question asks for, such as a number or a date, and whether a text has one."""

from __future__ import annotations

import re
from typing import Literal

AnswerType = Literal["number", "time", "name", "command"]

_MONTHS = (
    r"jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|"
    r"nov(?:ember)?|dec(?:ember)?"
)
_DAYS = r"mon|tues|wednes|thurs|fri|satur|sun"
_NUMBER_WORDS = (
    r"one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|forty|fifty|sixty|seventy|"
    r"eighty|ninety|hundred|thousand|million|billion|half|once|twice|dozen|several|free"
)
# The first type whose words are in the question counts: "how long" is a number, though "when" may follow.
_ASKS: tuple[tuple[AnswerType, re.Pattern[str]], ...] = (
    ("command", re.compile(r"\b(?:command|flag|option|parameter|environment variable|syntax)\b|命令|参数|选项", re.I)),
    (
        "number",
        re.compile(
            r"\bhow (?:many|much|long|often|far|old|big|large|high|soon|late|early|tall|deep|wide)\b|"
            r"\bwhat (?:number|percentage|share|amount|price|fee|cost|rate|limit|size|age|population)\b|"
            r"\b(?:number|deadline|maximum|minimum|limit|cost|fee|price)\b|多少|几[个天年月次种人]|多[长久大高远快]",
            re.I,
        ),
    ),
    (
        "time",
        re.compile(
            r"\bwhen\b|\b(?:what|which) (?:year|day|date|time|month|century|decade|hours?)\b|"
            r"什么时候|何时|哪[一]?[年天日月]|几点|时间",
            re.I,
        ),
    ),
    ("name", re.compile(r"\bwho(?:m|se)?\b|\bwhat (?:is|was) the name\b|谁|哪[位名个]人|叫什么", re.I)),
)
_HAS: dict[AnswerType, re.Pattern[str]] = {
    "number": re.compile(rf"\d|\b(?:{_NUMBER_WORDS})\b|[一二两三四五六七八九十百千万亿半]", re.I),
    "time": re.compile(
        rf"\b\d{{1,2}}[:.]\d\d\b|\b\d{{1,2}} ?[ap]\.?m\b|\b(?:{_MONTHS})\b|\b(?:{_DAYS})day\b|\b1\d{{3}}s?\b|"
        r"\b20\d\ds?\b|\b(?:century|midnight|noon|morning|evening|week|month|year|days?|hours?|minutes?)\b|[年月日号点时]",
        re.I,
    ),
    # A capital after the first word: in English, mostly a name.
    "name": re.compile(r"(?<=\S )[A-Z][\w’'-]+|·"),
    "command": re.compile(
        r"`[^`]+`|(?<!\S)--?[a-z][\w-]+|\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b|\w+\(\)|(?<!\S)[\w.-]*/[\w./-]+"
    ),
}


def asked_type(question: str) -> AnswerType | None:
    """The kind of answer that a question asks for; None if its words do not show one."""
    return next((kind for kind, words in _ASKS if words.search(question)), None)


def has_type(text: str, kind: AnswerType) -> bool:
    """Whether a text contains something of this kind."""
    return _HAS[kind].search(text) is not None
