"""Draft questions from a domain's documents into drafts.jsonl. An interrupted run continues where it stopped."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

from evaluation.items import read_items
from evaluation.rows import split_file
from retrieval import NotIngestedError
from softgraft.domain import Domain
from softgraft.errors import UsageError
from softgraft.jobs.questions.draft_file import (
    TRIED,
    Draft,
    DraftFile,
    append_line,
    complete_lines,
    counts,
    draft_id,
)
from softgraft.jobs.questions.near_miss import Asked, NearMiss, Subject, near_miss_problem, near_misses
from softgraft.jobs.questions.round_trip import RoundTrip, Verdict
from softgraft.jobs.questions.sources import Source, spread_sources
from softgraft.jobs.questions.writer import QuestionWriter, question_writer

RULES = "rules"
Wording = Literal["auto", "rules", "model"]
# Share of the drafts that the documents do not answer.
UNANSWERABLE = 0.175
# What was tried: the key of a source or a question, and the writer of the wording.
Tried = tuple[str, str]
# For near misses: enough to choose from, and a domain may have very many documents.
_DOCUMENTS, _SENTENCES = 100, 300


@dataclass(frozen=True, slots=True)
class DraftReport:
    """What a run drafted.

    Attributes:
        drafts: the number in drafts.jsonl now; `unanswerable` of them have no answer in the documents.
        new: drafted by this run.
        generated: number of questions worded by this run.
        dropped: how many of them were not used, by reason.
        complete: False if the documents gave fewer questions than wanted.
        writers: number of new drafts by rule, and by the model that worded them.
    """

    domain: str
    file: str
    drafts: int
    unanswerable: int
    new: int
    generated: int
    dropped: dict[str, int]
    complete: bool
    writers: dict[str, int]
    seconds: float


@dataclass
class _Run:
    """What a run has done so far."""

    drafts: list[Draft]
    before: int
    generated: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    @property
    def new(self) -> list[Draft]:
        return self.drafts[self.before :]


def draft_questions(
    domain: Domain,
    *,
    count: int = 40,
    seed: int = 0,
    model: str | None = None,
    wording: Wording = "auto",
    on_progress: Callable[[int, int], None] | None = None,
) -> DraftReport:
    """Draft questions until drafts.jsonl of the domain holds `count`.

    Each draft is written at once. What was tried is remembered in the build folder, so that a later run, also with a
    higher count, goes on with the next sentence.

    Args:
        count: number of drafts in total.
        seed: chooses the sentences.
        model: `PROVIDER:MODEL` that words the questions. The documents' sentences are sent to it.
        wording: `rules` and `model` use one of the two; `auto` is the rules for sentences that they parse and then the
            backbone, or `model` for all.
        on_progress: called with the number of drafts and `count`.

    Raises:
        UsageError: if the domain's task does not answer questions.
        NotIngestedError: if there is no index.
        ItemsError: if drafts.jsonl or train.jsonl has a malformed line.
        RemoteModelError: if `model` cannot be used.
    """
    began = time.monotonic()
    require_questions(domain)
    if domain.status()["index"] is None:
        raise NotIngestedError(
            found=f"no index of the documents of {domain.cli_name}",
            expected="documents that were ingested",
            next_step=f"run: softgraft ingest {domain.cli_name}",
        )
    file = DraftFile(domain.folder, domain.build)
    run = _Run(drafts := file.read(), len(drafts))
    report = on_progress or (lambda *_: None)
    report(len(run.drafts), count)
    if len(run.drafts) < count:
        _Drafting(domain, file, run, seed, model, wording).fill(count, report)
    return DraftReport(
        domain=domain.file.name,
        file=str(file.path),
        drafts=len(run.drafts),
        unanswerable=counts(run.drafts)["unanswerable"],
        new=len(run.new),
        generated=run.generated,
        dropped=dict(run.dropped.most_common()),
        complete=len(run.drafts) >= count,
        writers=dict(Counter(draft.writer for draft in run.new)),
        seconds=time.monotonic() - began,
    )


def require_questions(domain: Domain) -> None:
    """Raises UsageError if the domain's task does not answer questions."""
    if domain.file.text_task is not None:
        raise UsageError(
            found=f"the task of {domain.cli_name} is {domain.file.task}, whose examples are not drafted",
            expected="a domain with `task: chat` or `extractive-qa`",
            next_step=f"write examples to {domain.folder / 'train.jsonl'}, and run: softgraft train {domain.cli_name}",
        )


class _Drafting:
    """One run: the two streams of candidates, and the checks that they have to pass."""

    def __init__(
        self, domain: Domain, file: DraftFile, run: _Run, seed: int, model: str | None, wording: Wording
    ) -> None:
        self.domain, self.file, self.run, self.seed, self.wording = domain, file, run, seed, wording
        self.index = domain.index
        self.model_first = model is not None
        self._model = model
        self._writer: QuestionWriter | None = None
        if model is not None:
            # A missing key is an error before anything is drafted.
            self._writer = question_writer(domain, model)
        self.round_trip = RoundTrip(domain)
        known = [(draft.question, (draft.doc_id, draft.start)) for draft in run.drafts]
        train = split_file(domain.folder, "train")
        known += [(item.question, (item.doc_id, -1)) for item in (read_items(train) if train.is_file() else [])]
        self.round_trip.add_known([question for question, _ in known], [sentence for _, sentence in known])
        self.tried_path = domain.build / TRIED
        self.tried = {pair for line in complete_lines(self.tried_path) if (pair := _tried(line)) is not None}

    @property
    def writer(self) -> QuestionWriter:
        if self._writer is None:
            self._writer = question_writer(self.domain, self._model)
        return self._writer

    def fill(self, count: int, report: Callable[[int, int], None]) -> None:
        """Draft until there are `count` drafts, or the documents give no more."""
        answerable, unanswerable = self._answerable(), self._unanswerable()
        while len(self.run.drafts) < count:
            without = counts(self.run.drafts)["unanswerable"]
            wanted = int(UNANSWERABLE * (len(self.run.drafts) + 1))
            found = next(unanswerable, None) if without < wanted else None
            found = found or next(answerable, None)
            if found is None:
                return
            draft, tried = found
            self.file.append(draft)
            # Not before: a run that is killed in between would never draft it.
            self._remember(*tried)
            self.run.drafts.append(draft)
            self.round_trip.add_known([draft.question], [(draft.doc_id, draft.start)])
            report(len(self.run.drafts), count)

    def _answerable(self) -> Iterator[tuple[Draft, Tried]]:
        drafted = {draft.source for draft in self.run.drafts}
        for source in spread_sources(self.index.document_ids(), self.index.document, self.seed):
            by_rule = source.worded is not None and not self.model_first and self.wording != "model"
            if source.key in drafted or (not by_rule and self.wording == "rules"):
                continue
            name = RULES if by_rule else self.writer.name
            if (source.key, name) in self.tried:
                continue
            questions = [source.worded.question] if by_rule and source.worded else self.writer.write(source, self.seed)
            verdicts = self.round_trip.check(source, questions)
            self._count(verdicts)
            usable = [(v.gain, -n) for n, v in enumerate(verdicts) if v.problem is None]
            if usable:
                yield self._draft(source, questions[-max(usable)[1]], name), (source.key, name)
            else:
                self._remember(source.key, name)

    def _draft(self, source: Source, question: str, writer: str) -> Draft:
        by_rule = source.worded if writer == RULES else None
        document = self.index.document(source.doc_id)
        # The shortest correct answer decides extractive scores, and is a part of the fullest one.
        response = "" if self.domain.file.task == "extractive-qa" else by_rule.reply if by_rule else source.sentence
        return Draft(
            id=draft_id(question, source.doc_id),
            question=question,
            answers=tuple(" ".join(answer.split()) for answer in source.answers),
            response=" ".join(response.split()),
            doc_id=source.doc_id,
            title=source.title,
            heading=source.heading,
            quote=document.text[source.start : source.end],
            start=source.start,
            end=source.end,
            group=source.group,
            kind=source.kind,
            writer=writer,
            source=source.key,
            subject=by_rule.subject if by_rule else "",
        )

    def _unanswerable(self) -> Iterator[tuple[Draft, Tried]]:
        ids = self.index.document_ids()
        random.Random(self.seed).shuffle(ids)
        documents = {doc_id: self.index.document(doc_id) for doc_id in ids[:_DOCUMENTS]}
        sources = islice(spread_sources(list(documents), documents.__getitem__, self.seed), _SENTENCES)
        worded = [source for source in sources if source.worded is not None and source.worded.subject]
        asked = [
            Asked(source.worded.question, source.worded.subject, source.kind, source.doc_id)
            for source in worded
            if source.worded and source.kind != "table"
        ]
        subjects = [Subject(s.worded.subject, s.doc_id, s.heading, s.group) for s in worded if s.worded]
        titles = [Subject(d.title, d.id, "", d.group or d.id) for d in documents.values() if d.title]
        for near_miss in near_misses(asked, subjects, titles, self.domain.file.language, self.seed):
            if (near_miss.question, RULES) in self.tried:
                continue
            [ranked] = self.round_trip.search([near_miss.question])
            subject = near_miss.subject
            problem = near_miss_problem(near_miss, ranked, documents[subject.doc_id].text, self.domain.encoder)
            if problem is None and self.round_trip.is_known(near_miss.question, ("", -1)):
                problem = "too close to another question"
            self._count([Verdict(problem)])
            if problem is None:
                yield self._without_answer(near_miss), (near_miss.question, RULES)
            else:
                self._remember(near_miss.question, RULES)

    def _without_answer(self, near_miss: NearMiss) -> Draft:
        subject = near_miss.subject
        return Draft(
            id=draft_id(near_miss.question, subject.doc_id),
            question=near_miss.question,
            response=self.domain.file.refusal,
            answerable=False,
            doc_id=subject.doc_id,
            title=self.index.document(subject.doc_id).title,
            heading=subject.title,
            group=subject.group,
            kind="near-miss",
        )

    def _count(self, verdicts: list[Verdict]) -> None:
        self.run.generated += len(verdicts)
        self.run.dropped.update(verdict.problem for verdict in verdicts if verdict.problem is not None)

    def _remember(self, key: str, writer: str) -> None:
        self.tried.add((key, writer))
        append_line(self.tried_path, json.dumps([key, writer], ensure_ascii=False), sync=False)


def _tried(line: str) -> Tried | None:
    """What a line says was tried; None if it is damaged, so that it is tried again."""
    try:
        key, writer = json.loads(line)
    except (ValueError, TypeError, RecursionError):
        return None
    return (key, writer) if isinstance(key, str) and isinstance(writer, str) else None
