"""Question wording by rule, in Chinese: the question word stands where the answer stood.

"补办银行卡需要10元" becomes "补办银行卡需要多少钱？".
"""

from __future__ import annotations

import re

from softgraft.jobs.questions.spans import AnswerSpan, Worded

_PAUSE = re.compile(r"[，；;。！？]|[,：:](?!\d)")
_CONNECTIVE = re.compile(
    r"^(?:但是?|而且?|并且?|因此|所以|同时|此外|另外|不过|其中|即|也就是说|然后|且|如今|目前|现在|例如|随后|最后)，?"
)
_ANAPHORA = re.compile(r"^(?:该|此|这|那|其|它|他|她|上述|以上)|这些|那些|上述|[，]\s*(?:他|她|它|其)")
_NEGATIVE = re.compile(r"不(?!超过|少于|同)|没有|无法|未")
# A clause that only says when or under which condition: the next one belongs to it.
_ADVERBIAL = re.compile(r"(?:时|时候|之?前|之?后|之?间|期间|以来|以内|之内|中|起|开始|年[夏秋冬春][天季]?|[年月日号])$")
_BEGINS_OPEN = re.compile(r"^(?:虽然|尽管|由于|因为|当|随着|在.{1,12}[时后前]|从.{1,10}[至到])")
# A figure beside these is a part of a larger one: "4分51秒", "从1073年到1074年".
_BEFORE_PART = re.compile(r"(?:[\d分月日号至到~～—–½纪.-]|(?<!每)年)$")
_AFTER_PART = re.compile(r"^(?:[\d至到~～—–½-]|代|多)")
_CONDITION = re.compile(
    r"^(?P<word>如果|若|如|假如|当)(?P<condition>[^，。；：]{3,40})(?:时|的话)?，(?P<main>[^；：]{5,80})$"
)
_DEFINITION = re.compile(
    r"^(?P<term>[^，。；：是还没不可能如果在为]{2,16})(?P<be>是指|指的是|是(?!否|不是))"
    r"(?P<meaning>一[种个类项][^，。；：]{4,60}|[^，。；：]{6,60}的[^，。；：]{1,20})$"
)
_SHORTEST, _LONGEST = 5, 60


def ask_about_chinese_span(sentence: str, span: AnswerSpan) -> Worded | None:
    """A question about a span of a sentence; None if its clause cannot stand alone."""
    word = _question_word(span, span.text(sentence))
    if word is None or _BEFORE_PART.search(sentence[: span.full_start]) or _AFTER_PART.match(sentence[span.end :]):
        return None
    bounds = _clause_bounds(sentence, span)
    if bounds is None:
        return None
    clause = sentence[slice(*bounds)]
    if _ANAPHORA.search(clause) or _NEGATIVE.search(clause) or clause.count("（") != clause.count("）"):
        return None
    before, after = sentence[bounds[0] : span.full_start], sentence[span.end : bounds[1]]
    full, answer = span.full_text(sentence), span.text(sentence)
    if answer in before + after:
        return None
    return Worded(f"{before}{word}{after}？", tuple(dict.fromkeys((full, answer))), f"{clause}。")


def _clause_bounds(sentence: str, span: AnswerSpan) -> tuple[int, int] | None:
    """The clause with the span; with the next one, if it only says when; None if it is too short or too long."""
    pauses = [match for match in _PAUSE.finditer(sentence) if not span.full_start <= match.start() < span.end]
    start = max((match.end() for match in pauses if match.end() <= span.full_start), default=0)
    ends = [match.start() for match in pauses if match.start() >= span.end]
    end = ends[0] if ends else len(sentence)
    if connective := _CONNECTIVE.match(sentence[start : span.full_start]):
        start += connective.end()
    clause = sentence[start:end]
    if _ADVERBIAL.search(clause) or _BEGINS_OPEN.match(clause) or span.full_start == start:
        if not ends or sentence[ends[0]] not in "，,":
            return None if _ADVERBIAL.search(clause) else (start, end)
        end = ends[1] if len(ends) > 1 else len(sentence.rstrip("。！？"))
    rest = len(sentence[start:end]) - (span.end - span.full_start)
    return (start, end) if rest >= _SHORTEST and end - start <= _LONGEST else None


def ask_about_chinese_sentence(sentence: str) -> list[Worded]:
    """The questions that the form of a sentence gives: conditions and definitions."""
    text = sentence.strip().rstrip("。！")
    found: list[Worded] = []
    if (match := _CONDITION.match(text)) and not _ANAPHORA.search(match["condition"]):
        found.append(Worded(f"{match['word']}{match['condition']}，会怎么样？", (match["main"],), f"{text}。"))
    if (match := _DEFINITION.match(text)) and not _ANAPHORA.search(match["term"]):
        found.append(Worded(f"什么是{match['term']}？", (match["meaning"],), f"{text}。", match["term"]))
    return found


def _question_word(span: AnswerSpan, answer: str) -> str | None:
    match span.kind:
        case "amount":
            return "多少钱"
        case "percent":
            return "百分之多少"
        case "date":
            return "几点" if re.search(r"[点:：]", answer) else "哪一年" if answer.endswith("年") else "什么时候"
        case "quantity":
            unit = re.sub(r"^[\d,.\s]+", "", answer)
            return f"多少{unit}" if unit and unit not in (answer, "年") else "几年" if unit == "年" else None
        case _:
            return None
