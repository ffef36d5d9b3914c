"""Whether the evidence supports a generated sentence.

The sentence is compared with each place of the evidence that could support it: one sentence, two adjacent ones, a list
or a table row, each with its title, heading and lead-in. One of them has to hold its numbers, names and most of its
word weight together, with the same negation. Words of the question may be repeated without support, but not numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from chains.answering.checking.comparison import Comparer, Comparison
from chains.answering.checking.evidence_text import EvidenceText, read_evidence
from chains.answering.checking.statements import Clause, Statement, content_words, normalised, read_statement
from chains.answering.checking.vocabulary import META
from chains.answering.checking.word_weights import Limits
from retrieval import Passage
from retrieval.splitting.sentences import sentences, sentences_by_line

# Chosen on the dev half of benchmarks/quality/support_sentences.jsonl.
LIMITS = Limits(share=0.7, clause=0.3, asked=0.5, mixed=2.0, denial=0.1, elsewhere=0.15)
# A question uses its own words, so that less of it has to be in the evidence.
QUESTION_LIMITS = Limits(share=0.5, clause=0.0, asked=1.0, mixed=1.0, denial=0.1, elsewhere=0.3)


@dataclass(frozen=True, slots=True)
class Support:
    """Whether the evidence supports one sentence.

    Attributes:
        share: 0 to 1, the share of the sentence's word weight that is in the supporting text.
        reasons: why not, such as "the number 30 is not in the evidence"; empty if supported.
    """

    supported: bool
    share: float
    reasons: tuple[str, ...]


_YES = re.compile(
    r"\s*(?:yes|yeah|yep|certainly|of course|是的?|对的?|可以的?|能|需要|有的?)\s*(?:[,.!;:。，！、]+|$)\s*", re.I
)
_NO = re.compile(r"\s*(?:no|nope|not at all|不是的?|不|不行|不可以|不能|不需要|没有)\s*(?:[,.!;:。，！、]+|$)\s*", re.I)
# Replies such as "You can." and "It does not." repeat the question's verb.
_SHORT_REPLY = re.compile(
    r"\s*(?:you|it|they|we|i|he|she|this|that|there)\s+"
    r"(?:can|could|may|must|do|does|did|is|are|will|would|should|have|has)(?P<no>\s*not|n't)?\s*[.!]*\s*$",
    re.I,
)
_PART = re.compile(r";\s*|,?\s+(?:and|but)\s+|[；，,]\s*(?:而且|并且|但是?|同时)?", re.I)
_NO_QUESTION = read_statement("")
_NOTHING = Support(True, 1.0, ())


def check_support(
    sentence: str, passages: Sequence[Passage], *, question: str = "", earlier: Sequence[str] = ()
) -> Support:
    """Check one sentence of an answer against the evidence.

    A sentence without a claim, such as "Here is what the documents say:", is supported; a repetition of the question
    is not. A bare "Yes." or "No." claims what the question asks, and is checked as that statement; `claim_spans` joins
    it with the sentence after it.

    Args:
        question: its words may be repeated without support; its numbers and names may not.
        earlier: earlier turns of the conversation, whose words may be repeated likewise.
    """
    evidence = read_evidence(passages)
    body, affirmed = _without_yes_or_no(sentence)
    if match := _SHORT_REPLY.match(body):
        body, affirmed = "", not match["no"]
    claim = read_statement(body)
    if claim.words and any(_repeats(claim, part) for part in _sentences(question)):
        return Support(False, 0.0, ("it repeats the question",))
    if not _claims_something(claim):
        return _NOTHING if affirmed is None else _check_reply(affirmed, question, evidence)
    repeatable = content_words(normalised(" ".join((question, *earlier))))
    comparer = Comparer(evidence, read_statement(question), repeatable, LIMITS)
    found = comparer.compare_all(claim)
    if found.reasons and (parts := _parts(body)):
        # Each half of "A costs 14 and B costs 22" may stand in an entry of its own.
        each = [comparer.compare_all(part) for part in parts]
        if not any(part.reasons for part in each):
            found = Comparison(min(part.share for part in each), ())
    return Support(not found.reasons, round(found.share, 3), found.reasons)


def claim_spans(answer: str) -> Iterator[tuple[int, int]]:
    """Start and end of each sentence or line of an answer; a bare "Yes." belongs to the sentence after it."""
    pending: int | None = None
    spans = sentences_by_line(answer)
    for number, (start, end) in enumerate(spans):
        body, affirmed = _without_yes_or_no(answer[start:end])
        if affirmed is not None and not body.strip() and number + 1 < len(spans):
            pending = start if pending is None else pending
            continue
        yield (start if pending is None else pending), end
        pending = None


def _without_yes_or_no(sentence: str) -> tuple[str, bool | None]:
    """The sentence without a leading yes or no, and which it was."""
    for pattern, affirmed in ((_YES, True), (_NO, False)):
        if match := pattern.match(sentence):
            return sentence[match.end() :], affirmed
    return sentence, None


def _claims_something(claim: Statement) -> bool:
    return bool(claim.figures or claim.identifiers or (claim.words - META and not _is_question(claim)))


def _is_question(claim: Statement) -> bool:
    return claim.text.rstrip().endswith(("?", "？"))


def _repeats(claim: Statement, asked: str) -> bool:
    """Whether a sentence repeats one of the user's: it asks most of what that asks, or says all that that says."""
    words = content_words(normalised(asked))
    if asked.endswith(("?", "？")):
        return _is_question(claim) and len(claim.words & words) > len(claim.words) / 2
    return len(claim.words) > 1 and claim.words <= words


def _sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text, (0, len(text)))]


def _check_reply(affirmed: bool, question: str, evidence: EvidenceText) -> Support:
    """Check a bare yes or no as the statement that the question asks about."""
    asked = _sentences(question)
    if not asked:
        return Support(False, 0.0, ("a bare yes or no without a question",))
    claim = read_statement(asked[-1])
    if not affirmed:
        claim = replace(claim, clauses=tuple(_negated(clause) for clause in claim.clauses))
    found = Comparer(evidence, _NO_QUESTION, frozenset(), QUESTION_LIMITS).compare_all(claim)
    return Support(not found.reasons, round(found.share, 3), found.reasons)


def _negated(clause: Clause) -> Clause:
    return replace(clause, negative=not clause.negative)


def _parts(sentence: str) -> list[Statement]:
    """The parts of a sentence that joins several statements; empty if it is one, or if a part says too little."""
    parts = [read_statement(part) for part in _PART.split(sentence) if part.strip()]
    return parts if len(parts) > 1 and all(len(part.words) > 1 for part in parts) else []
