"""Near-miss questions: about something that the documents describe, but without an answer in them.

One kind moves a question to the subject of another document ("How much does a partial switch cost?"), another asks for
a property that documents of this kind rarely give. Retrieval must find the subject, and its passages must not answer.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from evaluation.text_scores import normalise
from retrieval import Encoder, RankedPassage
from retrieval.splitting.scripts import HAN, KANA
from retrieval.splitting.sentences import sentences_by_line
from softgraft.jobs.questions.spans import answer_spans

# A sentence with a span of the asked kind that is this close to the question may answer it.
_MAY_ANSWER = 0.4
# The best passage of a question about something else is further away.
_PLAUSIBLE = 0.35
_CJK = re.compile(f"[{HAN}{KANA}]")
_LONGEST_SUBJECT = 7


@dataclass(frozen=True, slots=True)
class Subject:
    """What a question may be about: words that a sentence of a document uses, or the title of a document."""

    words: str
    doc_id: str
    title: str
    group: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with an answer: its subject, a part of it, the kind of its answer, and its document."""

    question: str
    subject: str
    kind: str
    doc_id: str


@dataclass(frozen=True, slots=True)
class NearMiss:
    """A question that the documents should not answer.

    Attributes:
        subject: the subject that retrieval must find.
        kind: of the spans that would answer it; "" if `absent` decides.
        absent: the evidence must have none of these words.
    """

    question: str
    subject: Subject
    kind: str
    absent: tuple[str, ...] = ()


_PROPERTIES = {
    "en": (
        ("Which phone number do I call about {}?", ("phone", "call ", "ring ")),
        ("Is there a discount for students on {}?", ("student", "discount")),
        ("Who is the manager responsible for {}?", ("manager", "responsible", "in charge", "head of")),
        ("Is there a video about {}?", ("video",)),
        ("Which e-mail address answers questions about {}?", ("e-mail", "email", "@")),
        ("How many people used {} last year?", ("last year", "people used", "users")),
        ("What is the minimum age for {}?", ("age", "aged", "years old", "under 1", "over 1", " 16", " 18")),
        ("Which languages other than English can I get {} in?", ("language", "translat", "welsh", "french")),
    ),
    "zh": (
        ("关于{}，应该拨打哪个电话？", ("电话", "拨打", "热线")),
        ("{}对学生有什么优惠？", ("学生", "优惠", "折扣")),
        ("{}由谁负责？", ("负责", "主管", "经理")),
        ("{}有没有讲解视频？", ("视频",)),
        ("{}的最低年龄是几岁？", ("岁", "年龄")),
        ("去年有多少人使用{}？", ("去年", "人次", "用户")),
    ),
}
# A question moves to another subject only if nothing else in it belongs to its own.
_GENERAL = frozenset(
    re.findall(
        r"\w+",
        "how much many long often do does is are can will must when what time within after by for days working weeks "
        "months hours minutes years cost take last start begin end open close run arrive expire work valid free needed "
        "paid sent delivered a an the make charge fee price to",
    )
)
# "the charge" and "the form" mean one that an earlier sentence names.
_VAGUE = re.compile(
    r"(?:the|your|my|our|any|each|every) [a-z]+|[a-z]+|.* and .*|.*\b(?:first|second|third|last|next)\b.*"
)


def near_misses(
    asked: Sequence[Asked], subjects: Sequence[Subject], titles: Sequence[Subject], language: str, seed: int
) -> Iterator[NearMiss]:
    """Candidates in an order that depends on the seed alone, the two kinds in turn.

    Args:
        asked: questions that have an answer.
        subjects: of these and other questions.
        titles: the documents, whose titles are the subjects if there are no others.
    """
    clear = [subject for subject in subjects if not _VAGUE.fullmatch(subject.words)]
    swaps = iter(_swapped(asked, clear, seed))
    properties = iter(_properties(clear or titles, language, seed))
    while True:
        pair = [next(swaps, None), next(properties, None)]
        if pair == [None, None]:
            return
        yield from (near_miss for near_miss in pair if near_miss is not None)


def _swapped(asked: Sequence[Asked], subjects: Sequence[Subject], seed: int) -> Iterator[NearMiss]:
    pairs = [
        (one, other)
        for one in asked
        if one.kind != "sentence" and _words(one.question.replace(one.subject, "")) <= _GENERAL
        for other in subjects
        if other.doc_id != one.doc_id and _exchangeable(one.subject, other.words)
    ]
    random.Random(seed).shuffle(pairs)
    seen: set[str] = set()
    for one, other in pairs:
        # No subject and no question twice: there are many pairs.
        if one.question in seen or other.words in seen:
            continue
        seen |= {one.question, other.words}
        moved = one.question.replace(one.subject, other.words, 1)
        yield NearMiss(moved[0].upper() + moved[1:], other, one.kind)


def _properties(subjects: Sequence[Subject], language: str, seed: int) -> Iterator[NearMiss]:
    patterns = _PROPERTIES.get(language, ())
    order = list({subject.words: subject for subject in subjects}.values())
    random.Random(seed + 1).shuffle(order)
    for turn in range(len(patterns)):
        for number, subject in enumerate(order):
            pattern, absent = patterns[(number + turn) % len(patterns)]
            yield NearMiss(pattern.format(subject.words), subject, "", absent)


def _exchangeable(words: str, other: str) -> bool:
    first, second = words.split(), other.split()
    if _CJK.search(words + other) or not 1 < len(second) <= _LONGEST_SUBJECT or _words(words) & _words(other):
        return False
    return _is_plural(first) == _is_plural(second)


def _is_plural(words: Sequence[str]) -> bool:
    return words[0].lower() not in ("a", "an", "each", "every") and (words[-1].endswith("s") or words[-1] == "people")


@cache
def _words(text: str) -> frozenset[str]:
    return frozenset(normalise(text))


def near_miss_problem(
    near_miss: NearMiss, ranked: Sequence[RankedPassage], document: str, encoder: Encoder
) -> str | None:
    """Why a near miss cannot be used: its subject is not found, or the evidence may answer it; None if it can.

    `document` is the text of the subject's document.
    """
    chinese = bool(_CJK.search(near_miss.question))
    if not any(entry.passage.doc_id == near_miss.subject.doc_id for entry in ranked[:3]):
        return "its subject is not retrieved"
    if not chinese and max(entry.dense for entry in ranked) < _PLAUSIBLE:
        return "its subject is not retrieved"
    texts = [document, *(entry.passage.text for entry in ranked)]
    if near_miss.absent:
        lowered = [text.lower() for text in texts]
        return "may have an answer" if any(word in text for word in near_miss.absent for text in lowered) else None
    sentences = [
        entry.passage.text[start:end] for entry in ranked for start, end in sentences_by_line(entry.passage.text)
    ]
    candidates = [
        sentence for sentence in sentences if any(span.kind == near_miss.kind for span in answer_spans(sentence))
    ]
    if not candidates:
        return None
    vectors = encoder.encode([near_miss.question, *candidates])
    return "may have an answer" if float(np.max(vectors[1:] @ vectors[0])) >= _MAY_ANSWER else None
