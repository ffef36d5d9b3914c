"""Question wording by rule, in English: a statement becomes a question about one of its spans.

"A photo debit card costs £7.50" becomes "How much does a photo debit card cost?". The auxiliary moves before the
subject, and a full verb gets "do". A sentence that the rules do not parse gives no question.
"""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from softgraft.jobs.questions.pronouns import as_the_reader
from softgraft.jobs.questions.spans import AnswerSpan, Worded


@dataclass(frozen=True, slots=True)
class _Clause:
    """A clause around a span: its subject, its verb, and the words between the verb and the span, and after it."""

    subject: str
    verb: str
    auxiliary: bool
    before: str
    after: str = ""


_AUXILIARIES = "is|are|was|were|can|could|must|may|might|will|would|should"
# Verbs that a figure often follows. Only these get "do".
_VERB_LIST = (
    "cost take last pay need require include cover open close start end use return contain support run charge send "
    "give offer hold keep expire reach earn refund stay arrive allow wait accept provide receive store weigh measure "
    "apply add count begin finish serve show let set ask get make lend limit carry renew decide come happen stop work "
    "save collect deliver repeat update check answer waive deduct raise reply aim expect print replace repay remain"
)
_VERBS = _VERB_LIST.split()
_BASE = {form: v for v in _VERBS for form in (v, v + "s", v + "es", v[:-1] + "ies" if v.endswith("y") else v + "s")}
_VERB = re.compile(rf"\b({_AUXILIARIES}|{'|'.join(sorted(_BASE, key=len, reverse=True))})\b(?!['’])", re.IGNORECASE)
_NEGATIVE = re.compile(r"\b(?:not|no|never|nothing|cannot|neither|nor|without)\b|n['’]t\b", re.IGNORECASE)
# A subject with one of these has a clause of its own, refers to an earlier sentence, or is none.
_NO_SUBJECT = re.compile(
    r"\b(?:that|which|who|whose|when|where|if|because|it|they|this|these|those|them|he|she|there|here|what|so|but|or|"
    r"than|both|some|others?|such|same)\b|[,;:()|*#\[\]]|"
    r"^(?:on|in|at|from|by|after|before|for|with|to|under|during|within|each month|each year|please)\b|"
    r"\S\s+(?:you|we|i)$|\b(?:you|we|i)\s+\S",
    re.IGNORECASE,
)
# A heading without a full stop runs into the sentence.
_TWO_SENTENCES = re.compile(r"\w\s+(?:The|A|An|This|In)\s")
_ADVERB = re.compile(r"\s+(?:also|usually|normally|generally|always|then|still|now|only|often|currently)$")
_LEAD = re.compile(
    r"^(?P<lead>(?:If|When|Once|After|Before|For|In|With|Under|From|On|At|During|Unless|By|As|While|Outside|Within|"
    r"Until|Since|Where|Through)\b[^,;:]{3,120}),\s+(?P<main>.+)$",
    re.DOTALL,
)
_PREPOSITION = re.compile(r"\b(within|for|after|before|by|to|from|until|till|at|on|in|with|every|since)\s*$", re.I)
# Words before a span that show that it is only part of a phrase.
_PART_OF_PHRASE = re.compile(
    r"\b(?:first|last|next|the|a|an|another|these|those|each|any|than|between|plus|as|of|per|under|into|or|and|over|"
    r"more|less|fewer|their|your|our|its)$",
    re.IGNORECASE,
)
_SUBORDINATE = re.compile(r"\b(?:once|if|when|unless|until|because|while|that|which|who|where)\b|[,;:(]", re.IGNORECASE)
_OPEN_COMPARISON = re.compile(r"^(?:over|under|more than|less than|fewer than)\b", re.IGNORECASE)
_CLAUSE_END = re.compile(
    rf"[,;:](?=\s|$)|\s[–—-]\s|\s\(|\s(?:but|so|while|whereas|because|although|unless|which|who)\s|"
    rf"\sand\s(?=(?:we|you|it|they|the|then|only|there|{_AUXILIARIES}|{'|'.join(_BASE)})\b)"
)
_SENTENCE_END = re.compile(r"[.!;:]+\s*$")
# What follows the question word at once: "How many days *before the trip* can I ...?"
_BELONGS_TO_ANSWER = re.compile(
    r"^(?:(?:of|before|after|from|ahead of)\b.*|ahead\b|"
    r"(?:a|per|each|every) (?:second|minute|hour|day|week|month|year|visit)\b)",
    re.IGNORECASE,
)
_NUMBER_WORDS = (
    "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|forty|fifty|sixty|ninety"
)
_COUNTED = re.compile(rf"^.*(?:\d|\b(?:{_NUMBER_WORDS})\b)[\s-]+(?=[A-Za-z])", re.IGNORECASE)
_LOWERED = re.compile(
    r"(?:a|an|the|each|every|your|our|any|all|we|you|most|some|new|"
    r"my|no|both|many|if|when|once|unless|after|before)",
    re.IGNORECASE,
)
_DURATION = re.compile(r"\b(?:second|minute|hour|day|night|week|month|year)s?$")
_LONGEST_SUBJECT = 9


def ask_about_span(sentence: str, span: AnswerSpan, lower_case: AbstractSet[str] = frozenset()) -> Worded | None:
    """A question about a span of a sentence; None if the rules do not parse the sentence.

    `lower_case`: words that occur in lower case elsewhere, so that they are no names.
    """
    if span.kind in ("command", "quoted", "name") or "\n" in sentence.strip() or "|" in sentence:
        return None
    shift = len(sentence) - len(sentence.lstrip())
    text = _SENTENCE_END.sub("", sentence.strip())
    start, full_start, end = span.start - shift, span.full_start - shift, span.end - shift
    if end > len(text):
        return None
    lead = ""
    if (match := _LEAD.match(text)) and match.start("main") <= full_start:
        lead, offset = match["lead"], match.start("main")
        text, start, full_start, end = match["main"], start - offset, full_start - offset, end - offset
    clause = _clause(text, full_start, end)
    if clause is None or _NEGATIVE.search(f"{clause.before} {clause.after} {lead}"):
        return None
    answer, full = text[start:end], text[full_start:end]
    if _OPEN_COMPARISON.match(full) and clause.before and not _PREPOSITION.search(clause.before):
        # "amounts over £25": the figure limits a noun.
        return None
    if clause.before.endswith("every"):
        full = f"every {full}"
    question = _question(clause, span.kind, answer, lower_case)
    if question is None:
        return None
    asked = f"{question} {lowered(lead, lower_case)}" if lead else question
    before = clause.before.removesuffix("every") if full.startswith("every") else clause.before
    statement = f"{clause.subject} {clause.verb} {before} {full}{clause.after}"
    if lead:
        statement = f"{lead}, {lowered(statement, lower_case)}"
    subject = lowered(clause.subject, lower_case)
    return Worded(
        question=capitalised(as_the_reader(asked)) + "?",
        answers=tuple(dict.fromkeys((full, answer))),
        reply=capitalised(" ".join(statement.split())) + ".",
        subject="" if subject.lower() in ("we", "you", "i") else as_the_reader(subject),
    )


def _clause(text: str, start: int, end: int) -> _Clause | None:
    """The clause that holds the span; a second verb after "and" takes the first one's subject."""
    clause = _split(text[:start])
    if clause is None:
        return None
    pieces = re.split(r",?\s+and\s+", clause.before)
    if len(pieces) > 1:
        # "costs £7.50 and takes ten days": the last verb counts, the subject stays.
        second = _split(f"X {pieces[-1]}")
        if second is None or second.subject != "X" or second.auxiliary != clause.auxiliary:
            return None
        clause = replace(second, subject=clause.subject)
    if _SUBORDINATE.search(clause.before) or _PART_OF_PHRASE.search(clause.before):
        return None
    after = text[end:]
    if cut := _CLAUSE_END.search(after):
        after = after[: cut.start()]
    if re.match(r"[\w'’-]", after) or len(after.split()) > 12:
        # The span is a part of a word or of a longer figure.
        return None
    return replace(clause, after=after.rstrip())


def _split(before: str) -> _Clause | None:
    """Subject, verb and the rest of the text before a span."""
    for match in _VERB.finditer(before, 1):
        verb, rest = match[1].lower(), before[match.end() :].strip()
        auxiliary = verb not in _BASE
        subject = _ADVERB.sub("", before[: match.start()].strip())
        if not subject:
            continue
        if not auxiliary and (_VERB.match(rest) or not _agrees(subject, verb)):
            # A noun that looks like a verb: "an eligibility *check* takes".
            continue
        if len(subject.split()) > _LONGEST_SUBJECT or _NO_SUBJECT.search(subject) or _TWO_SENTENCES.search(subject):
            return None
        if subject.lower().split()[-1] == "to" or (auxiliary and re.match(r"not\b", rest)):
            return None
        return _Clause(subject, verb, auxiliary, rest)
    return None


def _agrees(subject: str, verb: str) -> bool:
    """Whether the form of a full verb fits its subject in number."""
    words = subject.lower().split()
    plural = words[-1] in ("you", "we", "i", "they", "people") or " and " in f" {subject} "
    singular = words[0] in ("a", "an", "each", "every", "this", "that") or subject == "X"
    if verb in _VERBS:
        return plural or (not singular and any(word.endswith("s") for word in words))
    return not plural


def _question(clause: _Clause, kind: str, answer: str, lower_case: AbstractSet[str]) -> str | None:
    """The question without its question mark."""
    subject = lowered(clause.subject, lower_case)
    before, after, word, last = clause.before, clause.after.strip(), _question_word(kind, answer), ""
    preposition = ""
    if match := _PREPOSITION.search(before):
        preposition, before = match[1].lower(), before[: match.start()].strip()
    if kind == "date" and preposition in ("on", "at", "in"):
        preposition = ""
    elif preposition == "every":
        preposition, word = "", "how often"
    elif kind in ("amount", "percent") and preposition:
        if preposition not in ("for", "by"):
            return None
        preposition, last = "", preposition
    attached = _BELONGS_TO_ANSWER.match(after)
    if attached:
        word, after = f"{word} {attached[0]}", after[attached.end() :]
    elif not before and kind == "percent" and clause.verb in ("is", "are"):
        word = "what"
    elif preposition in ("", "for") and _DURATION.search(answer) and word.startswith("how many"):
        preposition, word = "", "how long"
    if clause.auxiliary:
        asked = f"{clause.verb} {subject} {before}"
    else:
        asked = f"{'do' if clause.verb in _VERBS else 'does'} {subject} {_BASE[clause.verb]} {before}"
    return " ".join(f"{preposition} {word} {asked} {last} {after}".split())


def _question_word(kind: str, answer: str) -> str:
    if kind == "amount":
        return "how much"
    if kind == "percent":
        return "what percentage"
    if kind == "date":
        return "what time" if re.fullmatch(r"[\d.:]+\s?[ap]\.?m\.?|\d+:\d+", answer) else "when"
    noun = _COUNTED.sub("", answer)
    return f"how many {noun}" if noun.endswith("s") or noun == "people" else f"how many {noun}s"


def lowered(words: str, lower_case: AbstractSet[str]) -> str:
    """Words for the middle of a sentence: the first one in lower case, unless it is a name."""
    first, _, others = words.partition(" ")
    if _LOWERED.fullmatch(first) or first.lower() in lower_case or first.endswith("ing"):
        return f"{first.lower()} {others}".rstrip()
    return words


def capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]
