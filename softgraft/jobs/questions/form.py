"""Checks on the wording of a question alone: is it a question, does it stand alone, does it give its answer away?"""

from __future__ import annotations

import re
from collections.abc import Sequence

from evaluation.text_scores import contains_answer, normalise
from retrieval.splitting.scripts import HAN, KANA

_CJK = re.compile(f"[{HAN}{KANA}]")
_BEGINNING = re.compile(
    r"^(?:(?:in|on|at|for|within|after|before|by|to|from|until|under|with|of|about|since|during) )?"
    r"(?:what|which|who|whom|whose|when|where|why|how|is|are|am|was|were|do|does|did|can|could|must|may|might|will|would|"
    r"should|has|have|if)\b",
    re.IGNORECASE,
)
_QUESTION_WORD_ZH = re.compile(
    r"什么|哪|谁|几|多少|多久|多长|多大|怎么|怎样|如何|为何|是否|吗|能不能|可不可以|何时|何地"
)
# Words for the text that a reader does not have, or for something that an earlier sentence names.
_MENTIONS_TEXT = re.compile(
    r"\b(?:(?:the|this|given|above) (?:text|passage|paragraph|sentence|document|article|answer)|mentioned|"
    r"according to)\b|文中|文本|本文|上文|这段|段落",
    re.IGNORECASE,
)
_REFERS_BACK = re.compile(
    r"\b(?:it|they|them|these|those|this|he|she|his|him|here|there|such|also|instead|otherwise|likewise)\b|"
    r"\b(?:after|before|of|for|with|to|by|above|below|than|on) that\b|(?<![们其])[它他她](?!们?[的人])|上述|以上",
    re.IGNORECASE,
)
# "How long does it take" and "is there" name nothing.
_EXPLETIVE = re.compile(
    r"\b(?:does|do|did|will|would|can|could|must|should|is|was) (?:it|there)\b"
    r"(?= (?:take|cost|need|be|possible|any|a|an)\b)|"
    r"\bthere (?:is|are|was|were|be)\b|\b(?:is|are) there\b",
    re.IGNORECASE,
)
_FEWEST, _MOST = 3, 32


def form_problem(question: str, answers: Sequence[str], sentence: str) -> str | None:
    """Why a question cannot be used, as its wording shows; None if it can."""
    tokens = normalise(question)
    chinese = bool(_CJK.search(question))
    if (
        not question.endswith(("?", "？"))
        or question.count("?") + question.count("？") > 1
        or (not (_QUESTION_WORD_ZH.search(question) if chinese else _BEGINNING.match(question)))
    ):
        return "no question"
    if not _FEWEST <= len(tokens) <= (2 * _MOST if chinese else _MOST):
        return "too short or too long"
    if any(contains_answer(question, [answer]) for answer in answers):
        return "contains its answer"
    if _MENTIONS_TEXT.search(question):
        return "mentions the text"
    if _REFERS_BACK.search(_EXPLETIVE.sub("", question)):
        return "refers to something unnamed"
    if len(set(tokens) & set(normalise(sentence))) == 0:
        return "about something else"
    return None
