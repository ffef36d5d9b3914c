"""Names, identifiers and words such as "always" that a sentence adds to the evidence, and names with wrong words."""

from __future__ import annotations

from collections.abc import Iterator

from chains.answering.checking.evidence_text import EvidenceText, initials, name_forms
from chains.answering.checking.statements import Statement
from chains.answering.checking.vocabulary import ABSOLUTE, ABSOLUTE_CHINESE, LIGHT
from chains.answering.checking.windows import Window
from chains.answering.checking.word_weights import WordWeights

_MARGIN = 1e-6


def unknown_names(claim: Statement, evidence: EvidenceText, asked: Statement) -> Iterator[str]:
    """Names that are neither in the evidence nor in the question."""
    for name in claim.names if evidence.has_names else ():
        if name_forms(name).isdisjoint(asked.tokens) and not evidence.has_name(name):
            yield f"{name} is not in the evidence"


def additions(claim: Statement, window: Window, evidence: EvidenceText, asked: Statement) -> Iterator[str]:
    """Names, identifiers and words such as "always" that the window does not have."""
    for word in sorted(claim.tokens & ABSOLUTE - window.tokens):
        yield f'"{word}" is not in the evidence'
    for phrase in ABSOLUTE_CHINESE:
        if phrase in claim.text and phrase not in window.text:
            yield f'"{phrase}" is not in the evidence'
    for name in claim.identifiers:
        if " ".join(name.lower().split()) not in evidence.text:
            yield f"{name} is not in the evidence"
    if not evidence.has_names:
        return
    others = any(name.lower() not in claim.tokens and not evidence.is_frequent(name) for name in window.names)
    for name in claim.names:
        forms = name_forms(name)
        if name.isupper() and len(name) > 2 and not evidence.has_text(name) and name not in asked.text:
            # A word in capitals, such as a command, must be there in capitals.
            yield f"{name} is not in the evidence"
            continue
        if forms & window.tokens or evidence.is_frequent(name) or name in initials(window.text):
            continue
        # A name of the question or the passage may be repeated where the sentence does not name another one.
        if others or not forms & (asked.tokens | window.passage_tokens):
            where = "in another place of" if evidence.has_name(name) else "not in"
            yield f"{name} is {where} the evidence"


def misnamed(claim: Statement, window: Window, weights: WordWeights) -> Iterator[str]:
    """Names that stand in a clause with other words, while a clause with another name fits better."""
    said = frozenset(form for name in claim.names for form in name_forms(name))
    others = frozenset(form for name in window.names for form in name_forms(name)) - said
    for clause in claim.clauses:
        near = clause.words - said - LIGHT
        for name in claim.names:
            if name_forms(name).isdisjoint(clause.tokens):
                continue
            ours = [weights.of(near & c.words) for c in window.clauses if name_forms(name) & c.tokens]
            rivals = [
                weights.of(near & c.words)
                for c in window.clauses
                if others & c.tokens and not name_forms(name) & c.tokens
            ]
            if ours and rivals and max(rivals) > max(ours) + _MARGIN:
                yield f"{name} belongs to something else in the evidence"
