"""From a model's reply to the answer that is shown: checked sentence by sentence, with quotes where they are needed.

A small model often says less, or something else, than the evidence that it read. So each of its sentences is checked,
and a quote of the evidence replaces what the evidence does not support.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from chains.answering.citations import Citation
from chains.answering.support import claim_spans
from retrieval.markup import plain
from retrieval.ranking.evidence_sentences import EvidenceSentence

# `both` is a generated answer followed by a quote.
AnswerForm = Literal["generate", "extract", "quote", "both"]
Unsupported = Literal["quote", "mark", "keep"]

OPENING_MARK, CLOSING_MARK = "“", "”"
# Punctuation at the end of a lead-in after which its list entry continues the sentence.
_CONTINUES = (":", "：")


@dataclass(frozen=True, slots=True)
class AnswerRules:
    """What is done with a reply.

    Attributes:
        form: what the answer consists of; `extract` and `generate` differ in how the reply was decoded.
        unsupported: what happens to a sentence that the evidence does not support.
        supports: whether the evidence supports a sentence.
        refuses: whether a sentence says that the documents do not answer; asked for the first sentence of a reply.
        quotes: the sentences to quote, the best first; called once, and only if a quote is needed.
    """

    form: AnswerForm
    unsupported: Unsupported
    supports: Callable[[str], bool]
    refuses: Callable[[str], bool]
    quotes: Callable[[], Sequence[EvidenceSentence]]


class AnswerWriter:
    """Turns the pieces of a reply into the text that is shown.

    Text that may be replaced later is held back, so that nothing is shown that the final answer does not contain.

    Attributes:
        text: the answer so far, without white space around it.
        supported: False if a shown sentence is not supported by the evidence.
        refused: whether the model refused in its own words; the answer then has no quote.
        citations: of the quotes in `text`.
    """

    def __init__(self, rules: AnswerRules) -> None:
        self.text = ""
        self.supported = True
        self.refused = False
        self.citations: list[Citation] = []
        self._rules = rules
        self._checks_first = rules.form in ("generate", "both") and rules.unsupported == "quote"
        # Text that was received and is not yet shown.
        self._held = ""
        self._checked_any = False
        self._quotes: list[EvidenceSentence] | None = None

    def add(self, piece: str) -> str:
        """Add a piece of the reply; returns the text that can be shown now."""
        self._held += piece
        if not self._checks_first:
            return self._show_held()
        complete = list(claim_spans(self._held))[:-1]
        if not complete:
            return ""
        end = complete[-1][1]
        ready, self._held = self._held[:end], self._held[end:]
        return self._checked(ready)

    def finish(self) -> str:
        """The rest of the answer, after the last piece."""
        form = self._rules.form
        if form == "quote":
            return self._quote(all_of_them=True)
        shown = self._checked(self._held) if self._checks_first else self._show_held()
        self._held = ""
        if form == "extract":
            # An excerpt supports itself; without one, a quote answers.
            return shown if self.text else self._quote(all_of_them=True)
        if not self._checks_first:
            spans = list(claim_spans(self.text))
            self.refused = self.refused or (bool(spans) and self._rules.refuses(self.text[slice(*spans[0])]))
            self.supported = self.refused or all(self._rules.supports(self.text[slice(*span)]) for span in spans)
        if not self.refused and (form == "both" or (not self.text and self._rules.unsupported == "quote")):
            shown += self._quote(all_of_them=True)
        return shown

    def _show_held(self) -> str:
        """Show what is held, except white space at the end, which may be the end of the answer."""
        if not self.text:
            self._held = self._held.lstrip()
        shown = self._held.rstrip()
        self._held = self._held[len(shown) :]
        self.text += shown
        return shown

    def _checked(self, text: str) -> str:
        """Show the sentences of a text that are supported, and a quote in place of the first that is not."""
        shown, position = "", 0
        for start, end in claim_spans(text):
            if not self._checked_any:
                self._checked_any = True
                self.refused = self._rules.refuses(text[start:end])
            if self.refused or self._rules.supports(text[start:end]):
                before = text[position:start] if self.text else ""
                self.text += before + text[start:end]
                shown += before + text[start:end]
            elif self._rules.form == "generate" and not self.citations:
                shown += self._quote(all_of_them=False)
            position = end
        return shown

    def _quote(self, *, all_of_them: bool) -> str:
        """Add the best quote that the answer does not contain yet, or all of them."""
        if self._quotes is None:
            self._quotes = list(self._rules.quotes())
        before = len(self.text)
        for sentence in self._quotes:
            markup = sentence.passage.markup
            if plain(sentence.text, markup) in plain(self.text, markup):
                continue
            self.text += "\n" if self.text else ""
            start = len(self.text)
            self.text += f"{OPENING_MARK}{_with_lead_in(sentence)}{CLOSING_MARK}"
            self.citations.append(quote_citation(sentence, self.text[start:], start))
            if not all_of_them:
                break
        return self.text[before:]


class RefusalWriter(AnswerWriter):
    """Writes the refusal for a question whose evidence is too weak."""

    def __init__(self, refusal: str) -> None:
        super().__init__(AnswerRules("generate", "keep", lambda _: True, lambda _: True, tuple))
        self._held = refusal
        self.refused = True

    def add(self, piece: str) -> str:
        """Ignores the piece: no model was asked."""
        return ""


def quote_citation(sentence: EvidenceSentence, answer_sentence: str, answer_start: int) -> Citation:
    """The citation of a quote in the answer, at `answer_start`."""
    passage = sentence.passage
    return Citation(
        sentence=answer_sentence,
        answer_start=answer_start,
        answer_end=answer_start + len(answer_sentence),
        quote=sentence.text,
        doc_id=passage.doc_id,
        title=passage.title,
        heading=sentence.heading,
        page=passage.page,
        passage_id=passage.id,
        start=passage.start + sentence.start,
        end=passage.start + sentence.end,
        support=1.0,
        markup=passage.markup,
    )


def _with_lead_in(sentence: EvidenceSentence) -> str:
    """The sentence in one line, without markup, after the line that introduces it if it is an entry of its list."""
    lead_in = sentence.passage.text[slice(*sentence.lead_in)] if sentence.lead_in else ""
    text = f"{lead_in} {sentence.text}" if lead_in.endswith(_CONTINUES) else sentence.text
    return plain(text, sentence.passage.markup)
