"""Spans of a sentence that may answer a question: figures, dates, commands, quoted terms and names, found by rules."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["amount", "percent", "quantity", "date", "command", "quoted", "name"]

_WORDS = "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|forty|fifty|sixty|ninety"
_FIGURE = r"\d+(?:,\d{3})*(?:\.\d+)?"
_NUMBER = rf"(?:{_FIGURE}|\b(?:{_WORDS})\b)"
_RANGE = rf"{_NUMBER}(?:\s?(?:-|–|to|or)\s?{_NUMBER})?"
_UNITS = (
    r"(?:seconds?|minutes?|hours?|days?|nights?|weeks?|months?|years?|times?|people|metres?|meters?|kilometres?|km|"
    r"miles?|kg|grams?|litres?|ml|cm|mm|[KMGT]i?B|ms|bytes?|bits?|pixels?|px|degrees?)"
)
_QUALIFIER = r"(?:working|calendar|business|full|consecutive|separate|different|active|whole)"
_MONTHS = (
    "January|February|March|April|May|June|July|August|September|October|November|December|"
    "Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec"
)
_DAYS = "Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday"
_CLOCK = r"\d{1,2}(?:[.:]\d{2})?\s?(?:am|pm|a\.m\.|p\.m\.)|\d{1,2}:\d{2}"
# A comparison belongs to the answer: "up to £500", "at least two".
_COMPARISON = re.compile(
    r"(?:at least|at most|up to|more than|less than|fewer than|no more than|over|under|about|around|only|exactly|"
    r"a maximum of|a minimum of|至少|最多|不超过|超过|约|大约)\s*$",
    re.IGNORECASE,
)

_PATTERNS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("command", re.compile(r"`([^`\n]{2,80})`")),
    ("quoted", re.compile(r"[“\"「『]([^“”\"「」『』\n]{2,60})[”\"」』]")),
    (
        "amount",
        re.compile(
            rf"[£$€¥]\s?{_FIGURE}(?:\s?(?:million|billion|bn)\b)?|{_RANGE}\s(?:pounds|euros|dollars|pence|cents|USD|EUR|GBP)\b|"
            rf"{_FIGURE}\s?(?:万|亿)?(?:元|美元|欧元|块钱)"
        ),
    ),
    ("percent", re.compile(rf"{_FIGURE}\s?(?:%|percent\b|per cent\b|％)|百分之[一二三四五六七八九十百\d]+")),
    (
        "date",
        re.compile(
            rf"\b(?:from|between) (?:{_CLOCK}|noon|midnight) (?:to|and) (?:{_CLOCK}|noon|midnight)|"
            rf"\b\d{{1,2}} (?:{_MONTHS})\b(?: \d{{4}})?|\b(?:{_MONTHS}) \d{{1,2}}\b(?:, \d{{4}})?|\b(?:{_CLOCK})|"
            rf"\b(?:{_DAYS})s?(?: (?:to|and) (?:{_DAYS})s?)?\b|\b(?:1[89]|20)\d\d\b(?!\s?[A-Za-z%])|"
            r"\d{4}年(?:\d{1,2}月(?:\d{1,2}[日号])?)?|\d{1,2}月\d{1,2}[日号]|(?:上午|下午|早上|晚上)?\d{1,2}[点:：]\d{0,2}分?"
        ),
    ),
    (
        "quantity",
        re.compile(
            rf"(?<![\w£$€.,-]){_RANGE}[\s-]{_QUALIFIER}?\s?{_UNITS}\b|"
            rf"{_FIGURE}\s?(?:个工作日|个小时|个月|小时|分钟|秒|天|周|年|岁|次|人|公里|千米|米|公斤|千克|毫升|升|度|个|名|张|份)"
        ),
    ),
    (
        "quantity",
        # A count: the plural noun is part of the answer. "one" is mostly no figure.
        re.compile(
            rf"(?<![\w£$€.,-])(?!one\b){_NUMBER}\s(?:[a-z-]+\s)?(?!(?:is|was|has|does|this|as|us)\b)[a-z]{{2,}}[^s\W]s\b"
        ),
    ),
    ("name", re.compile(r"(?<=[a-z,] )(?!I\b)[A-Z][\w'’-]+(?: (?:of |the )?[A-Z][\w'’-]+)+")),
)


@dataclass(frozen=True, slots=True)
class AnswerSpan:
    """A span of a text that may answer a question.

    Attributes:
        kind: which rule found it; it decides the question word.
        start, end: in the text, without a comparison before it.
        full_start: where the comparison before it starts ("up to £500"); `start` if there is none.
    """

    kind: Kind
    start: int
    end: int
    full_start: int

    def text(self, sentence: str) -> str:
        """The answer alone."""
        return sentence[self.start : self.end]

    def full_text(self, sentence: str) -> str:
        """The answer with the comparison before it."""
        return sentence[self.full_start : self.end]


@dataclass(frozen=True, slots=True)
class Worded:
    """A question that rules worded, with its answer.

    Attributes:
        question: the question.
        answers: spans of the sentence, each correct by itself; the first is the fullest.
        reply: the statement that answers it, without the rest of its sentence.
        subject: the words of the question that name what it is about; "" if they cannot be exchanged.
    """

    question: str
    answers: tuple[str, ...]
    reply: str
    subject: str = ""


def answer_spans(sentence: str) -> list[AnswerSpan]:
    """The spans of a sentence that may answer a question, in the order of the text; none overlap."""
    found: list[AnswerSpan] = []
    for kind, pattern in _PATTERNS:
        for match in pattern.finditer(sentence):
            start, end = match.span(match.lastindex or 0)
            if any(start < other.end and other.start < end for other in found):
                continue
            before = _COMPARISON.search(sentence, 0, start)
            found.append(AnswerSpan(kind, start, end, before.start() if before else start))
    return sorted(found, key=lambda span: span.start)
