"""The sentences of a domain's documents that questions are drafted from, spread over documents and sections."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from retrieval.documents import Document
from retrieval.splitting.blocks import Block
from retrieval.splitting.scripts import HAN, KANA
from retrieval.splitting.sections import Section, sections_of
from retrieval.splitting.sentences import sentences, trimmed
from softgraft.jobs.questions.chinese import ask_about_chinese_sentence, ask_about_chinese_span
from softgraft.jobs.questions.patterns import ask_about_row, ask_about_sentence
from softgraft.jobs.questions.spans import Worded, answer_spans
from softgraft.jobs.questions.wording import ask_about_span

_CJK = re.compile(f"[{HAN}{KANA}]")
_MARKER = re.compile(r"(?:[-*+•]|\d{1,3}[.)])\s+(?:\[[ xX]\]\s+)?")
_RULE_ROW = re.compile(r"^[\s|:-]+$")
_LONGEST_SENTENCE, _SHORTEST_SENTENCE = 400, 12
# What the model reads around the sentence, in characters.
_CONTEXT = 500
# A name that a document repeats is its subject, and nobody asks for it.
_COMMON_NAME = 2


@dataclass(frozen=True, slots=True)
class Source:
    """A sentence with a span that answers a question.

    Attributes:
        title, heading: of its document and section ("Fees > Abroad").
        start, end: of the sentence in the document's text: `document.text[start:end]` is the quote.
        sentence: the quote with line breaks as spaces.
        context: the paragraph that holds it.
        answers: spans of the sentence, each correct by itself; the first is the fullest.
        kind: of the span, or `sentence` if the form of the sentence gives the question.
        worded: the question by rule; None if the rules give none, so that a model has to write it.
    """

    doc_id: str
    group: str
    title: str
    heading: str
    start: int
    end: int
    sentence: str
    context: str
    answers: tuple[str, ...]
    kind: str
    worded: Worded | None

    @property
    def key(self) -> str:
        """Identifies the sentence and the answer, to know what was tried."""
        payload = "\x1f".join((self.doc_id, str(self.start), str(self.end), *self.answers))
        return hashlib.sha256(payload.encode()).hexdigest()[:16]


def spread_sources(ids: Sequence[str], document: Callable[[str], Document], seed: int) -> Iterator[Source]:
    """All sources, one of each document in turn, in an order that depends on the seed alone.

    Within a document, the sections take turns, and no sentence comes a second time before each has come once. Sources
    that the rules word come before those that need a model.
    """
    order = sorted(ids)
    random.Random(seed).shuffle(order)
    for needs_model in (False, True):
        turns = [_lazily(document, doc_id, seed, needs_model) for doc_id in order]
        while turns:
            remaining = []
            for sources in turns:
                if (source := next(sources, None)) is not None:
                    yield source
                    remaining.append(sources)
            turns = remaining


def _lazily(document: Callable[[str], Document], doc_id: str, seed: int, needs_model: bool) -> Iterator[Source]:
    """The sources of one document, which is read when the first one is wanted: there may be very many documents."""
    yield from _ordered(document(doc_id), seed, needs_model)


def _ordered(document: Document, seed: int, needs_model: bool) -> list[Source]:
    """The sources of one document: by section in turn, the first of each sentence before the second."""
    rng = random.Random(f"{seed} {document.id}")
    by_section: list[list[tuple[int, Source]]] = []
    for sources in _by_section(document):
        counts: dict[int, int] = {}
        ranked = []
        chosen = [source for source in sources if (source.worded is None) == needs_model]
        rng.shuffle(chosen)
        for source in chosen:
            counts[source.start] = counts.get(source.start, 0) + 1
            ranked.append((counts[source.start], source))
        by_section.append(sorted(ranked, key=lambda entry: entry[0]))
    rng.shuffle(by_section)
    result: list[tuple[int, int, Source]] = []
    for sources_of_section in by_section:
        result += [(round_of, turn, source) for turn, (round_of, source) in enumerate(sources_of_section)]
    return [source for _, _, source in sorted(result, key=lambda entry: entry[:2])]


def _by_section(document: Document) -> Iterator[list[Source]]:
    lower_case = frozenset(re.findall(r"(?<![\w'’])[a-z]+", document.text))
    for section in sections_of(document):
        heading = " > ".join(part.text for part in section.path if part.text != document.title)
        yield [
            source for block in section.blocks for source in _of_block(document, section, block, heading, lower_case)
        ]


def _of_block(
    document: Document, section: Section, block: Block, heading: str, lower_case: AbstractSet[str]
) -> Iterator[Source]:
    text = document.text
    if text[block.start : block.end].lstrip().startswith(("```", "~~~", "    ", "<")):
        return
    if text[block.start : block.end].lstrip().startswith("|"):
        yield from _of_table(document, block, heading)
        return
    context = _one_line(text[block.start : block.end])
    for part in block.parts or ((block.start, block.end),):
        start, end = part
        if marker := _MARKER.match(text, start + len(text[start:end]) - len(text[start:end].lstrip())):
            start = marker.end()
        for span in sentences(text, (start, end)):
            sentence = text[span[0] : span[1]].replace("\n", " ")
            shortest = _SHORTEST_SENTENCE // 3 if _CJK.search(sentence) else _SHORTEST_SENTENCE
            if shortest <= len(sentence) <= _LONGEST_SENTENCE:
                around = _around(context, _one_line(sentence))
                yield from _of_sentence(document, heading, span, sentence, around, lower_case)


def _of_sentence(
    document: Document, heading: str, span: tuple[int, int], sentence: str, context: str, lower_case: AbstractSet[str]
) -> Iterator[Source]:
    def source(answers: tuple[str, ...], kind: str, worded: Worded | None) -> Source:
        return Source(
            document.id, document.group or document.id, document.title, heading, *span, sentence, context, answers,
            kind, worded,
        )  # fmt: skip

    chinese = bool(_CJK.search(sentence))
    whole = ask_about_chinese_sentence(sentence) if chinese else ask_about_sentence(sentence, lower_case)
    for worded in whole:
        yield source(worded.answers, "sentence", worded)
    for answer in answer_spans(sentence):
        by_rule = ask_about_chinese_span(sentence, answer) if chinese else ask_about_span(sentence, answer, lower_case)
        if by_rule is not None:
            yield source(by_rule.answers, answer.kind, by_rule)
        elif answer.kind != "name" or not _is_subject(document, heading, answer.text(sentence)):
            answers = tuple(dict.fromkeys((answer.full_text(sentence), answer.text(sentence))))
            yield source(answers, answer.kind, None)


def _of_table(document: Document, block: Block, heading: str) -> Iterator[Source]:
    rows = [span for part in (block.parts or ((block.start, block.end),)) for span in _lines(document.text, part)]
    header: list[str] = []
    for start, end in rows:
        line = document.text[start:end]
        if _RULE_ROW.match(line):
            continue
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not header:
            header = cells
            continue
        for worded in ask_about_row(header, cells) if not _CJK.search(line) else ():
            yield Source(
                document.id, document.group or document.id, document.title, heading, start, end, line,
                f"{' | '.join(header)}\n{line}", worded.answers, "table", worded,
            )  # fmt: skip


def _lines(text: str, span: tuple[int, int]) -> Iterator[tuple[int, int]]:
    start = span[0]
    for line in text[span[0] : span[1]].splitlines(keepends=True):
        yield from trimmed(text, (start, start + len(line)))
        start += len(line)


def _is_subject(document: Document, heading: str, name: str) -> bool:
    return name in f"{document.title} {heading}" or document.text.count(name) > _COMMON_NAME


def _around(context: str, sentence: str) -> str:
    """The part of a paragraph around a sentence that a model reads."""
    if len(context) <= _CONTEXT:
        return context
    at = context.find(sentence)
    first = max(0, at - (_CONTEXT - len(sentence)) // 2)
    return context[first : max(first + _CONTEXT, at + len(sentence))]


def _one_line(text: str) -> str:
    return " ".join(text.split())
