"""Drafts questions for an example domain, trains on them, and answers its test questions."""

from __future__ import annotations

import shutil
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np

from benchmarks.script import utc_now
from benchmarks.tables import difference
from chains import LocalSpeaker
from evaluation import fit_refusal_classifier, read_items
from evaluation.items import Item, spread
from evaluation.retrieval_scores import GoldSpans
from evaluation.systems import System, generate_replies, question_and_history, retrieve_all, score_answers
from evaluation.text_scores import contains_answer, token_f1
from retrieval.splitting.sentences import sentences_by_line
from softgraft import Domain, open_domain
from softgraft.jobs.questions.draft_file import Draft, DraftFile
from softgraft.jobs.questions.drafting import Wording, draft_questions

METRICS = ("accuracy", "token_f1")


def draft(folder: Path, work: Path, count: int, wording: str) -> dict[str, Any]:
    """Draft questions from the documents alone: the domain has no question files."""
    with _copy(folder, work, None) as domain:
        report = asdict(draft_questions(domain, count=count, wording=cast(Wording, wording)))
        drafts = [one.model_dump() for one in DraftFile(domain.folder, domain.build).read()]
    report.pop("file")
    return {"report": report, "drafts": drafts}


def baselines(folder: Path, work: Path, limit: int | None) -> dict[str, dict[str, Any]]:
    """Scores of the text twin and of the nearest evidence sentence, with retrieval fitted to no questions."""
    with _copy(folder, work, None) as domain:
        items = spread(read_items(folder / "test.jsonl"), limit)
        quotes = _nearest_sentences(domain, items)
        twin = _answers(domain, "text-twin", items, folder)
    return {"text twin": twin, "quote": _scores(items, quotes, [not quote for quote in quotes])}


def train_and_answer(
    folder: Path, work: Path, arm: str, drafts: Sequence[Mapping[str, Any]], config: Mapping[str, Any], seed: int
) -> dict[str, Any]:
    """Train on drafts or on hand-written questions, and answer the test questions."""
    count, limit = config["count"], config["limit"]
    if arm == "drafts":
        train = [Draft.model_validate(draft).item() for draft in drafts]
    else:
        train = spread(read_items(folder / "train.jsonl"), count)
    with _copy(folder, work, train) as domain:
        settings = domain.file.train.with_options({"epochs": config["epochs"], "seed": seed})
        trained = asdict(domain.train(settings=settings, dev_limit=config["dev_limit"]))
        items = spread(read_items(folder / "test.jsonl"), limit)
        scores = _answers(domain, "soft" if trained["kept"] else "text-twin", items, folder)
    trained.pop("folder")
    return {"arm": arm, "seed": seed, "train": trained, "scores": scores, "finished": utc_now()}


def compare(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Paired differences, with each question averaged over the seeds."""
    values: dict[str, dict[str, dict[str, float]]] = {}
    for arm in sorted({run["arm"] for run in results["runs"]}):
        runs = [run["scores"]["values"] for run in results["runs"] if run["arm"] == arm]
        values[arm] = {
            metric: {question: statistics.mean(run[metric][question] for run in runs) for question in runs[0][metric]}
            for metric in METRICS
        }
    values |= {name: scores["values"] for name, scores in results["baselines"].items()}
    pairs = [("drafts", "text twin"), ("drafts", "quote"), ("hand-written", "quote"), ("drafts", "hand-written")]
    return [
        {"pair": f"{ours} minus {theirs}", **{m: _paired(values[ours][m], values[theirs][m]) for m in METRICS}}
        for ours, theirs in pairs
        if ours in values and theirs in values
    ]


def _paired(ours: Mapping[str, float], theirs: Mapping[str, float]) -> dict[str, float] | None:
    return difference(list(ours.values()), [theirs[question] for question in ours])


@contextmanager
def _copy(folder: Path, work: Path, train: Sequence[Item] | None) -> Iterator[Domain]:
    """A copy of a domain with its documents and dev, and with these train questions; without, it has no questions.

    The index is made once, in `work`.
    """
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / folder.name
        shutil.copytree(folder / "docs", copy / "docs")
        shutil.copy(folder / "domain.yaml", copy)
        if train is not None:
            lines = "".join(item.model_dump_json(exclude_defaults=True) + "\n" for item in train)
            (copy / "train.jsonl").write_text(lines, encoding="utf-8")
            shutil.copy(folder / "dev.jsonl", copy)
        if work.is_dir():
            shutil.copytree(work, copy / "build" / "index")
        domain = open_domain(copy)
        try:
            domain.ingest()
            if not work.is_dir():
                shutil.copytree(domain.build / "index", work)
            yield domain
        finally:
            domain.close()


def _answers(domain: Domain, graft: Any, items: Sequence[Item], folder: Path) -> dict[str, Any]:
    """Answer with one graft. Refusals in words are judged as everywhere, by all hand-written questions of train."""
    answering = domain.answering(graft, form="generate", speaker=LocalSpeaker(domain.chat(graft)))
    judge = fit_refusal_classifier(domain.encoder, read_items(folder / "train.jsonl"))
    retrieved = retrieve_all(answering, items)
    system = System(graft, answering, "retrieved")
    replies = generate_replies(system, retrieved.prepared)
    answers = score_answers(
        system,
        items,
        retrieved.prepared,
        replies,
        retrieved.queries,
        GoldSpans(domain.index),
        judge,
        retrieval_seconds=retrieved.seconds,
    )
    scores = _scores(items, [one.reply for one in answers.answers], [one.refused for one in answers.answers])
    return {**scores, "seconds": answers.seconds}


def _nearest_sentences(domain: Domain, items: Sequence[Item]) -> list[str]:
    """Of each question, the sentence of its evidence with the highest cosine."""
    answering = domain.answering("text-twin")
    queries = answering.queries([question_and_history(item) for item in items])
    evidence = answering.evidence_many(queries)
    found = []
    for query, one in zip(queries, evidence, strict=True):
        texts = [entry.passage.text for entry in one.passages]
        sentences = [text[start:end] for text in texts for start, end in sentences_by_line(text)]
        if not one.enough or not sentences:
            found.append("")
            continue
        vectors = domain.encoder.encode([query, *sentences])
        found.append(sentences[int(np.argmax(vectors[1:] @ vectors[0]))])
    return found


def _scores(items: Sequence[Item], replies: Sequence[str], refused: Sequence[bool]) -> dict[str, Any]:
    """Means, and the values per question: `accuracy` of the answerable questions, `token_f1` of all."""
    pairs = list(zip(items, replies, strict=True))
    answerable = [(item, reply) for item, reply in pairs if item.answerable]
    referenced = [(item, reply) for item, reply in pairs if item.references]
    accuracy = [contains_answer(reply, item.answers) for item, reply in answerable]
    f1 = [token_f1(reply, item.references) for item, reply in referenced]
    right = [refuses for item, refuses in zip(items, refused, strict=True) if not item.answerable]
    wrong = [refuses for item, refuses in zip(items, refused, strict=True) if item.answerable]
    return {
        "accuracy": statistics.mean(accuracy),
        "token_f1": statistics.mean(f1),
        "right_refusals": statistics.mean(right) if right else None,
        "wrong_refusals": statistics.mean(wrong),
        "values": {
            "accuracy": {item.id: value for (item, _), value in zip(answerable, accuracy, strict=True)},
            "token_f1": {item.id: round(value, 4) for (item, _), value in zip(referenced, f1, strict=True)},
        },
    }
